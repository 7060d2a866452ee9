/**
 * The panel of engine and parameters: beside the conversation, or in its place where not both fit.
 */

const NARROW = matchMedia("(max-width: 60rem)");

/** Make `button` show and hide `panel`; `rest` is what it covers on narrow screens. */
export function attachPanel(panel, button, rest) {
  const set = (open) => {
    panel.hidden = !open;
    rest.inert = open && NARROW.matches;
    document.body.classList.toggle("panel-open", open);
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => set(panel.hidden));
  NARROW.addEventListener("change", () => set(!NARROW.matches));
  document.addEventListener("keydown", (event) => {
    const closes = event.key === "Escape" && NARROW.matches && !panel.hidden;
    if (!closes || document.querySelector("dialog[open]")) return;
    set(false);
    button.focus();
  });
  set(!NARROW.matches);
  return { open: () => set(true) };
}
