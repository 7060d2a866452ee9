/** The figures beside an answer: what it took, and what was forecast and promised of it. */

import { element, setText } from "./element.js";
import { count, duration, energy, money, rate, tokens as nTokens } from "./numbers.js";

const ROWS = [
  ["rate", "tokens per second", "After the first token, as this page received them"],
  ["first", "to first token", "From asking, network included"],
  ["whole", "in all", "To the last token; the forecast is for as many tokens as it may have"],
  ["promise", "", "What the server promised before it began"],
  ["tokens", "tokens", "Of the answer; of all its drafts together, where a strategy made it"],
  ["joules", "joules", "Drawn by the machine meanwhile"],
  ["usd", "for the machine", "What it costs meanwhile"],
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
      // Each stands beside what it foretold.
      const forecast = element("dd", { class: "forecast", hidden: true });
      const foretold = element("span");
      forecast.append(element("span", { class: "unseen" }, "forecast "), foretold);
      const row = element("div", { class: name, title, hidden: true }, term, actual, forecast);
      this.#rows.set(name, { row, term, actual, forecast, foretold });
      list.append(row);
    }
    this.node = element("div", { class: "figures", role: "group" }, list);
    this.node.setAttribute("aria-label", "Figures of this answer");
  }

  /** Show what a Stopwatch knows. */
  show(figures) {
    const { tokens, exact, firstMs, tokensPerSecond, promptTokens, cachedTokens } = figures;
    const least = exact ? "" : "≥ ";
    this.#set("rate", tokensPerSecond === null ? "" : least + rate(tokensPerSecond));
    this.#set("first", firstMs === null ? "" : duration(firstMs));
    this.#set("tokens", tokens ? least + count(tokens) : "", tokens === 1 ? "token" : "tokens");
    const cached = cachedTokens ? `, ${count(cachedTokens)} of them cached` : "";
    const prompt = promptTokens === null ? "" : count(promptTokens);
    const prompts = figures.isByStrategy ? "in all prompts" : "in the prompt";
    this.#set("prompt", prompt, prompts + cached);
    const { wholeMs, joules, usd, forecast, promise } = figures;
    this.#set("whole", wholeMs === null ? "" : duration(wholeMs));
    this.#set("joules", joules === null ? "" : energy(joules));
    this.#set("usd", usd === null ? "" : money(usd));
    if (promise !== null) {
      this.#set("promise", outcome(promise), `promise of ${duration(promise.totalMs)}`);
      this.#rows.get("promise").row.toggleAttribute("data-broken", promise.kept === false);
    }
    if (forecast !== null) this.#foretell(forecast);
  }

  #foretell({ firstMs, tokensPerSecond, wholeMs, tokens, joules, usd, isOfThisLength }) {
    const most = isOfThisLength ? "" : "≤ ";
    this.#setForecast("first", firstMs === null ? "" : duration(firstMs));
    this.#setForecast("rate", tokensPerSecond === null ? "" : rate(tokensPerSecond));
    this.#setForecast("whole", most + duration(wholeMs));
    this.#setForecast("tokens", tokens === null ? "" : most + count(tokens));
    this.#setForecast("joules", joules === null ? "" : most + energy(joules));
    this.#setForecast("usd", usd === null ? "" : most + money(usd));
  }

  #setForecast(name, value) {
    const { forecast, foretold } = this.#rows.get(name);
    setText(foretold, value);
    forecast.hidden = value === "";
  }

  #set(name, value, label) {
    const { row, term, actual } = this.#rows.get(name);
    setText(actual, value);
    if (label !== undefined) setText(term, label);
    row.hidden = value === "";
  }
}

/** The figures in a sentence, for those who hear the page. */
export function spoken({ tokens, exact, tokensPerSecond, promise }) {
  const said = [`${exact ? "" : "at least "}${nTokens(tokens)}`];
  if (tokensPerSecond !== null) said.push(`${rate(tokensPerSecond)} per second`);
  if (promise !== null && promise.kept !== null) said.push(`promise ${outcome(promise)}`);
  return said.join(", ");
}

function outcome({ kept }) {
  if (kept === null) return "given";
  return kept ? "kept" : "broken";
}
