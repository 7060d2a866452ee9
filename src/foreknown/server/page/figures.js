/** The figures beside an answer: what it took, and later what was forecast. */

import { element, setText } from "./element.js";
import { count, duration, rate, tokens as nTokens } from "./numbers.js";

const ROWS = [
  ["rate", "tokens per second", "After the first token, as this page received them"],
  ["first", "to first token", "From asking, network included"],
  ["tokens", "tokens", "Of the answer"],
  ["prompt", "", "Tokens of the prompt, and how many of them needed no computing"],
];

/** A group of figures, as yet without any. */
export class Figures {
  #rows = new Map();

  constructor() {
    const list = element("dl");
    for (const [name, label, title] of ROWS) {
      const term = element("dt", {}, label);
      const actual = element("dd", { class: "actual" });
      // Empty until forecasts are made: each stands beside what it foretold.
      const forecast = element("dd", { class: "forecast", hidden: true });
      const row = element("div", { class: name, title, hidden: true }, term, actual, forecast);
      this.#rows.set(name, { row, term, actual });
      list.append(row);
    }
    this.node = element("div", { class: "figures", role: "group" }, list);
    this.node.setAttribute("aria-label", "Figures of this answer");
  }

  /** Show what a Stopwatch knows. */
  show({ tokens, exact, firstMs, tokensPerSecond, promptTokens, cachedTokens }) {
    const least = exact ? "" : "≥ ";
    this.#set("rate", tokensPerSecond === null ? "" : least + rate(tokensPerSecond));
    this.#set("first", firstMs === null ? "" : duration(firstMs));
    this.#set("tokens", tokens ? least + count(tokens) : "", tokens === 1 ? "token" : "tokens");
    const cached = cachedTokens ? `, ${count(cachedTokens)} of them cached` : "";
    const prompt = promptTokens === null ? "" : count(promptTokens);
    this.#set("prompt", prompt, `in the prompt${cached}`);
  }

  #set(name, value, label) {
    const { row, term, actual } = this.#rows.get(name);
    setText(actual, value);
    if (label !== undefined) setText(term, label);
    row.hidden = value === "";
  }
}

/** The figures in a sentence, for those who hear the page. */
export function spoken({ tokens, exact, tokensPerSecond }) {
  const said = `${exact ? "" : "at least "}${nTokens(tokens)}`;
  return tokensPerSecond === null ? said : `${said}, ${rate(tokensPerSecond)} per second`;
}
