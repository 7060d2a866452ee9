/** What each round of a strategy took: time, tokens, energy and cost, in a table. */

import { element } from "./element.js";
import { shortened } from "./fold.js";
import { count, duration, energy, money } from "./numbers.js";

const MOST = 8;

/** Nodes that show rounds as {parts, total_ms, tokens, joules, usd}; `parts` are what was asked. */
export function roundsView(rounds) {
  const longest = Math.max(...rounds.map((round) => round.total_ms), 1e-9);
  const isPriced = rounds.some((round) => round.usd !== null);
  const titles = ["Round", "Asked for", "Time", "Tokens", "Joules", ...(isPriced ? ["Cost"] : [])];
  const head = () => titles.map((title) => element("th", { scope: "col" }, title));
  const list = (some, start) =>
    element(
      "table",
      { class: "rounds" },
      element("thead", {}, element("tr", {}, ...head())),
      element("tbody", {}, ...some.map((one, at) => row(one, start + at + 1, longest, isPriced))),
    );
  return shortened(rounds, MOST, list, "round");
}

function row({ parts, total_ms, tokens, joules, usd }, number, longest, isPriced) {
  const share = element("span", { class: "share" });
  share.style.setProperty("width", `${(100 * total_ms) / longest}%`);
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, share);
  const cells = [
    element("td", { class: "asked" }, counted(parts)),
    element("td", {}, bar, duration(total_ms)),
    element("td", {}, count(tokens)),
    element("td", {}, energy(joules)),
  ];
  if (isPriced) cells.push(element("td", {}, money(usd)));
  return element("tr", {}, element("th", { scope: "row" }, count(number)), ...cells);
}

/** answers; 3 × judge, pick: each name with how often it is there. */
function counted(names) {
  const numbers = new Map();
  for (const name of names) numbers.set(name, (numbers.get(name) ?? 0) + 1);
  return [...numbers].map(([name, n]) => (n > 1 ? `${n} × ${name}` : name)).join(", ");
}
