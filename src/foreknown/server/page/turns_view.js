/** Turns of the conversation on the page: what the reader said, and answers as they grow. */

import { copy } from "./clipboard.js";
import { element } from "./element.js";
import { Figures } from "./figures.js";
import { PlanView } from "./plan_view.js";
import { RichText } from "./rich_text.js";
import { traceView } from "./trace_view.js";

/** What the reader said, as it was written. */
export function userTurn(text) {
  const heading = element("h3", { class: "unseen" }, "You");
  return element("article", { class: "turn user" }, heading, element("p", {}, text));
}

/**
 * An answer with its figures beside it, its actions below, and how it came about.
 *
 * Text that comes faster than the screen is drawn once a frame.
 */
export class AnswerView {
  text = "";
  #reasoning = "";
  #plan = new PlanView();
  #trace = null;
  #rich = new RichText();
  #figures = new Figures();
  #thoughts = element("p");
  #details = element("details", { class: "reasoning", hidden: true });
  #note = element("p", { class: "note", hidden: true });
  #error = element("p", { class: "error", role: "alert" });
  #again = element("button", { type: "button" }, "Answer again");
  #copy = element("button", { type: "button" }, "Copy");
  #actions = element("div", { class: "deeds", hidden: true });
  #stopwatch;
  #frame = 0;

  /** `again` is called when the reader wants another answer instead. */
  constructor(modelName, stopwatch, again) {
    this.#stopwatch = stopwatch;
    this.#details.append(element("summary", {}, "Reasoning"), this.#thoughts);
    this.#actions.append(this.#copy, this.#again);
    this.#again.addEventListener("click", again);
    this.#copy.addEventListener("click", () => this.#copied());
    const heading = element("h3", { class: "unseen" }, `Answer by ${modelName}`);
    const body = element("div", { class: "body" }, heading, this.#details, this.#plan.node);
    body.append(this.#rich.node, this.#note, this.#error, this.#actions);
    const side = this.#figures.node;
    this.node = element("article", { class: "turn answer", "aria-busy": "true" }, body, side);
  }

  /** Whether anything of the answer came. */
  get begun() {
    return this.text !== "" || this.#reasoning !== "";
  }

  /** Take in a piece, as `answer` yields them. */
  add(piece) {
    this.text += piece.text ?? "";
    this.#reasoning += piece.reasoning ?? "";
    if (piece.foreknown?.strategy) this.#tell(piece.foreknown);
    else if (this.begun) this.#plan.stop();
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** The end: `note` says why it is one if that is worth saying, `error` what went wrong. */
  finish({ note = "", error = "" } = {}) {
    cancelAnimationFrame(this.#frame);
    this.#plan.stop();
    this.#draw();
    if (this.#trace) this.node.append(this.#trace);
    this.node.removeAttribute("aria-busy");
    this.#note.textContent = note;
    this.#note.hidden = note === "";
    this.#error.textContent = error;
    this.#actions.hidden = false;
    this.#grown();
  }

  /** Only the last answer can be made again. */
  letAgain(may) {
    this.#again.hidden = !may;
  }

  #tell(told) {
    if (told.trace) this.#trace = traceView(told);
    else if (!told.actual) this.#plan.start(told);
  }

  #draw() {
    this.#frame = 0;
    this.#rich.show(this.text);
    this.#details.hidden = this.#reasoning === "";
    this.#thoughts.textContent = this.#reasoning;
    this.#figures.show(this.#stopwatch.figures);
    this.#grown();
  }

  #grown() {
    this.node.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  }

  async #copied() {
    this.#copy.textContent = (await copy(this.text)) ? "Copied" : "Could not copy";
    setTimeout(() => {
      this.#copy.textContent = "Copy";
    }, 1500);
  }
}
