/** Folds: what is opened by whoever wants to see it. */

import { element } from "./element.js";

/**
 * A `details` node whose inside is made when it is first opened, so what nobody looks at costs
 * nothing.
 *
 * `summary` is a text or nodes, `make` gives the nodes inside.
 */
export function fold(summary, make, { open = false, name = "fold" } = {}) {
  const said = [summary].flat();
  const inside = element("div");
  const node = element("details", { class: name, open }, element("summary", {}, ...said), inside);
  if (open) inside.append(...make());
  else node.addEventListener("toggle", () => inside.append(...make()), { once: true });
  return node;
}

/**
 * The first `most` of many items, and a fold with the others.
 *
 * `list` makes a node of some of them, given those and the place of the first; `word` is what one
 * is called.
 */
export function shortened(items, most, list, word) {
  const shown = list(items.slice(0, most), 0);
  const rest = items.length - most;
  if (rest <= 0) return [shown];
  const words = `${rest} more ${word}${rest === 1 ? "" : "s"}`;
  return [shown, fold(words, () => shortenedRest(items, most, list, word), { name: "fold rest" })];
}

// Folds in folds, each twice as long: a thousand items need few strokes and no long wait.
function shortenedRest(items, most, list, word) {
  const rest = items.slice(most);
  const place = (some, at) => list(some, at + most);
  return shortened(rest, 2 * most, place, word);
}
