/** Light, dark, or as the system has it: chosen by one button, kept for this browser. */

const KEPT = "foreknown-colours";
const CHOICES = ["system", "light", "dark"];
const WORDS = {
  system: "Colours: as the system",
  light: "Colours: light",
  dark: "Colours: dark",
};

let choice = read();
apply();

/** Make a button go round the choices. */
export function attachTheme(button) {
  const describe = () => {
    button.setAttribute("aria-label", WORDS[choice]);
    button.title = WORDS[choice];
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    keep();
    apply();
    describe();
  });
  describe();
}

function apply() {
  document.documentElement.dataset.theme = choice;
}

// A browser may forbid storage: then the choice lives as long as the page.
function read() {
  try {
    const kept = localStorage.getItem(KEPT);
    return CHOICES.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}

function keep() {
  try {
    localStorage.setItem(KEPT, choice);
  } catch {
    // see read()
  }
}
