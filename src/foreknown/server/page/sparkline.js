/** A small line of numbers over time, from zero to the largest; the newest at the right. */

import { svgElement } from "./element.js";

const WIDTH = 120;
const HEIGHT = 32;

export class Sparkline {
  #line = svgElement("path", { class: "line" });
  #area = svgElement("path", { class: "area" });

  constructor() {
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" };
    this.node = svgElement("svg", { ...box, class: "sparkline" }, this.#area, this.#line);
  }

  /** Draw up to 120 numbers; `words` say the same to those who do not see it. */
  show(numbers, words) {
    this.node.setAttribute("aria-label", words);
    const shown = numbers.slice(-WIDTH);
    const most = Math.max(...shown, 0) || 1;
    const left = WIDTH - shown.length;
    const points = shown.map((number, place) => {
      const y = HEIGHT - 1 - (number / most) * (HEIGHT - 3);
      return `${left + place + 0.5} ${y.toFixed(2)}`;
    });
    const line = points.length > 0 ? `M${points.join("L")}` : "";
    const ends = `L${WIDTH - 0.5} ${HEIGHT}L${left + 0.5} ${HEIGHT}Z`;
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", line && line + ends);
  }
}
