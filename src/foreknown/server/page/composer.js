/** The form in which messages are written, sent and stopped. */

import { setText } from "./element.js";
import { count } from "./numbers.js";

const NEARLY_FULL = 0.9;

export class Composer {
  #message;
  #button;
  #error;
  #context;
  #working = false;

  /** `send` is called with a text that is not blank, `stop` while `working`. */
  constructor(form, { send, stop }) {
    this.#message = form.querySelector("textarea");
    this.#button = form.querySelector("button");
    this.#error = form.querySelector(".error");
    this.#context = form.querySelector("#context");
    const submit = () => this.#message.value.trim() && send(this.#message.value);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#working) stop();
      else submit();
    });
    this.#message.addEventListener("keydown", (event) => {
      // An Enter that ends the composing of a character is not meant for us.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#working) submit();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#working) return;
      if (!document.querySelector("dialog[open]")) stop();
    });
  }

  /** One button sends and stops, so that who pressed it keeps their place. */
  work(working) {
    this.#working = working;
    setText(this.#button, working ? "Stop" : "Send");
    this.#button.classList.toggle("stops", working);
  }

  clear() {
    this.#message.value = "";
  }

  /** Give a text back that could not be sent, unless another is being written. */
  putBack(text) {
    this.#message.value ||= text;
  }

  focus() {
    this.#message.focus();
  }

  /** Say what went wrong; "" takes it back. */
  showError(text) {
    setText(this.#error, text);
  }

  /** How much of the context is taken; of a `length` that is not known, nothing is said. */
  showContext(tokens, length) {
    const known = Boolean(tokens && length);
    this.#context.hidden = !known;
    if (!known) return;
    const words = `${count(tokens)} of ${count(length)} tokens of context`;
    setText(this.#context.querySelector(".words"), words);
    const share = Math.min(tokens / length, 1);
    this.#context.querySelector(".share").style.setProperty("width", `${100 * share}%`);
    this.#context.classList.toggle("nearly-full", share > NEARLY_FULL);
  }
}
