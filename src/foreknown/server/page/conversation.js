/** What was said so far, kept in memory; knows nothing of the page. */
export class Conversation {
  /** Turns in order: {role: "user" | "assistant", text}. */
  turns = [];

  add(role, text) {
    this.turns.push({ role, text });
  }

  /** Take the last turn back; its text. */
  takeBack() {
    return this.turns.pop()?.text ?? "";
  }

  clear() {
    this.turns = [];
  }

  /** Messages as a chat template reads them, the system prompt first if there is one. */
  messages(system = "") {
    const messages = this.turns.map(({ role, text }) => ({ role, content: text }));
    return system ? [{ role: "system", content: system }, ...messages] : messages;
  }

  /** All of it as one text, for models that only continue. */
  text() {
    return this.turns.map((turn) => turn.text).join("");
  }
}
