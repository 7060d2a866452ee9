/** What a strategy is about to do, and how far the clock has come towards the forecast of it. */

import { element, setText } from "./element.js";
import { duration, tokens } from "./numbers.js";

const PERIOD_MS = 100;

/** The plan in a sentence, of what the server said at an answer's beginning. */
export function planned({ strategy: { asked, done, fits }, forecast }) {
  const most = `${done}, at most ${tokens(forecast.tokens)}, ${duration(forecast.total_ms)}`;
  if (!fits) return `${most}: more than the budget has, so the best until then will be given`;
  return asked === done ? most : `${most}: what the budget has room for of ${asked}`;
}

export class PlanView {
  #words = element("p");
  #bar = element("progress", { "aria-label": "Time gone, of the forecast", value: 0 });
  #timer = 0;

  constructor() {
    this.node = element("div", { class: "plan", hidden: true }, this.#words, this.#bar);
  }

  /** Show the plan, and go with the clock from now on. */
  start(told) {
    const began = performance.now();
    const most = told.forecast.total_ms;
    setText(this.#words, planned(told));
    this.#bar.setAttribute("max", most);
    this.node.hidden = false;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      this.#bar.value = Math.min(performance.now() - began, most);
      if (!this.node.isConnected) this.stop();
    }, PERIOD_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.node.hidden = true;
  }
}
