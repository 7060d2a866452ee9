/** Leads the conversation: asks, receives, and puts back what came to nothing. */

import { answer } from "./answering.js";
import { Conversation } from "./conversation.js";
import { spoken } from "./figures.js";
import { planned } from "./plan_view.js";
import { Stopwatch } from "./stopwatch.js";
import { AnswerView, userTurn } from "./turns_view.js";

export class Dialogue {
  #conversation = new Conversation();
  #last = null;
  #running = null;
  #parts;

  /** `parts`: composer, models, parameters, turns (their place), announce, toEnd. */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Send a text and receive its answer. */
  async say(text) {
    const { turns, composer } = this.#parts;
    const turn = userTurn(text);
    await this.#respond({
      begin: () => {
        this.#conversation.add("user", text);
        turns.append(turn);
        composer.clear();
      },
      undo: () => {
        this.#conversation.takeBack();
        turn.remove();
        composer.putBack(text);
      },
    });
  }

  /** Have the last answer made again, with the parameters as they are now. */
  async sayAgain() {
    const { turns, composer } = this.#parts;
    const { node, text } = this.#last;
    await this.#respond({
      begin: () => {
        this.#conversation.takeBack();
        node.remove();
        // The button that was pressed is gone with its answer.
        composer.focus();
      },
      undo: () => {
        this.#conversation.add("assistant", text);
        turns.append(node);
      },
    });
  }

  /** Stop the answer that is coming; what came of it stays. */
  stop() {
    this.#running?.abort();
  }

  /** Begin another conversation. */
  restart() {
    const { turns, composer, announce } = this.#parts;
    this.stop();
    this.#conversation.clear();
    this.#last = null;
    turns.replaceChildren();
    composer.showError("");
    composer.showContext(0, 0);
    composer.focus();
    announce("New conversation");
  }

  async #respond({ begin, undo }) {
    const { composer, models, parameters } = this.#parts;
    if (this.#running) return;
    const settings = parameters.read();
    if (settings === null) return;
    composer.showError("");
    const running = new AbortController();
    this.#running = running;
    composer.work(true);
    try {
      const model = await models.chosen();
      begin();
      try {
        await this.#receive(model, settings, running.signal);
      } catch (error) {
        undo();
        this.#last?.letAgain(true);
        throw error;
      }
    } catch (error) {
      this.#explain(error);
    } finally {
      this.#running = null;
      composer.work(false);
    }
  }

  /** Show an answer as it comes. Throws what kept it from coming at all. */
  async #receive(model, settings, signal) {
    const { composer, turns, announce, toEnd } = this.#parts;
    const stopwatch = new Stopwatch();
    const view = new AnswerView(model.id, stopwatch, () => this.sayAgain());
    this.#last?.letAgain(false);
    turns.append(view.node);
    toEnd();
    const abandoned = () => !view.node.isConnected;
    let end;
    try {
      const pieces = answer(model, this.#conversation, settings, signal);
      end = await fill(view, pieces, stopwatch, announce);
    } catch (error) {
      if (abandoned()) return;
      view.node.remove();
      throw error;
    }
    // Another conversation has begun: this one's end is nobody's concern.
    if (abandoned()) return;
    view.finish(end);
    this.#conversation.add("assistant", view.text);
    this.#last = view;
    const { figures } = stopwatch;
    announce(figures.tokens ? `${end.said}: ${spoken(figures)}` : end.said);
    const { totalTokens } = figures;
    if (totalTokens !== null) composer.showContext(totalTokens, model.context_length);
  }

  #explain(error) {
    const { composer, parameters, announce } = this.#parts;
    if (error.name === "AbortError") {
      announce("Stopped before an answer began");
      return;
    }
    const { message, code } = error;
    // What cannot be promised now is no field's fault, but one field can change it.
    const param = code === "cannot_promise" ? "deadline_ms" : (error.param ?? "");
    // Beside its field, an error need not begin with the field's name.
    const named = param !== "" && message.startsWith(`${param}: `);
    const short = named ? message.slice(param.length + 2) : message;
    if (parameters.showError(param, sentence(short))) return;
    composer.showError(sentence(message));
    composer.focus();
  }
}

const OUT_OF_TIME = {
  note: "The time was over: this is what there was by then",
  said: "Answer ended when its time was over",
};

/**
 * Fill a view until its answer ends: how it did, for the eye and for the ear.
 *
 * Throws what happened before anything came; what happens later is an end like others.
 */
async function fill(view, pieces, stopwatch, announce) {
  let finish = "";
  let isCut = false;
  try {
    for await (const piece of pieces) {
      stopwatch.note(piece);
      view.add(piece);
      finish = piece.finish ?? finish;
      const { strategy, actual } = piece.foreknown ?? {};
      if (strategy && !actual) announce(planned(piece.foreknown));
      isCut ||= strategy?.whole === false;
    }
  } catch (error) {
    if (!view.begun) throw error;
    if (error.name === "AbortError") return { note: "Stopped", said: "Answer stopped" };
    return { error: sentence(error.message), said: "Answer broken off" };
  }
  if (isCut) return OUT_OF_TIME;
  if (!view.begun) return { note: "The answer is empty", said: "The answer is empty" };
  if (finish !== "length") return { said: "Answer finished" };
  return { note: "Ended at the limit of tokens", said: "Answer ended at the limit of tokens" };
}

/** A message of the server's, as a sentence. */
export function sentence(message) {
  const text = message.trim();
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
