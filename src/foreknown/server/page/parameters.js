/** The form of sampling parameters: empty fields are left to the model's own settings. */

import { element } from "./element.js";

const NONE = "none";
const STRATEGIES = [
  NONE, "vote(8)", "best_of(8)", "reflect(rounds=2)", "search(8)", "beam(4)", "auto",
];
// What only answers by a strategy have.
const OF_STRATEGIES = ["verifier", "budget.deadline_ms"];

const FIELDS = [
  { name: "system", label: "System prompt", kind: "text", rows: 3 },
  { name: "strategy", label: "Strategy", kind: "line", choices: STRATEGIES, hint: "Or your own" },
  { name: "verifier", label: "Verifier", kind: "line", choices: ["none", "arithmetic"] },
  { name: "budget.deadline_ms", label: "Time at most, ms", step: 100 },
  { name: "temperature", label: "Temperature", step: 0.1 },
  { name: "max_completion_tokens", label: "Tokens at most", step: 1 },
  { name: "deadline_ms", label: "Deadline, ms", step: 100 },
  { name: "top_p", label: "Top p", step: 0.05 },
  { name: "top_k", label: "Top k", step: 1 },
  { name: "min_p", label: "Min p", step: 0.01 },
  { name: "seed", label: "Seed", step: 1 },
  { name: "presence_penalty", label: "Presence penalty", step: 0.1 },
  { name: "frequency_penalty", label: "Frequency penalty", step: 0.1 },
  { name: "stop", label: "Stop at", kind: "lines", rows: 2, hint: "One text a line" },
];

// Errors may call a field by another name than ours.
const SAME = { max_tokens: "max_completion_tokens" };

export class Parameters {
  #fields = new Map();
  #reveal;
  #talks = true;

  /** Fills `form` with the fields; `reveal` brings it into sight before a field is gone to. */
  constructor(form, reveal) {
    this.#reveal = reveal;
    form.addEventListener("submit", (event) => event.preventDefault());
    const parent = form.querySelector(".fields");
    for (const field of FIELDS) {
      const built = build(field);
      built.input.addEventListener("input", () => {
        show(built, "");
        this.#arrange();
      });
      this.#fields.set(field.name, { ...field, ...built });
      parent.append(built.node);
    }
    this.#arrange();
  }

  /**
   * What was entered, by the interface's names, without fields that are empty or hidden; null if a
   * field holds what is no number, which is then said beside it. Whether a number is in range is
   * the server's to say.
   */
  read() {
    this.clearErrors();
    const found = {};
    for (const field of this.#fields.values()) {
      if (field.node.hidden) continue;
      if (field.input.validity.badInput) {
        this.showError(field.name, `${field.label} is not a number`);
        return null;
      }
      const value = valueOf(field);
      if (value !== null) put(found, field.name, value);
    }
    return found;
  }

  /** Say an error beside the field that `param` names, and go there; whether there is one. */
  showError(param, message) {
    const name = param.split(/[.[]/)[0];
    const field = this.#fields.get(param) ?? this.#fields.get(SAME[name] ?? name);
    if (!field) return false;
    show(field, message);
    this.#reveal();
    field.input.focus();
    return true;
  }

  clearErrors() {
    for (const field of this.#fields.values()) show(field, "");
  }

  /** A system prompt and strategies make sense to models that chat. */
  letTalk(may) {
    this.#talks = may;
    this.#arrange();
  }

  #arrange() {
    const strategy = this.#fields.get("strategy");
    this.#fields.get("system").node.hidden = !this.#talks;
    strategy.node.hidden = !this.#talks;
    const isPlain = !this.#talks || valueOf(strategy) === null;
    for (const name of OF_STRATEGIES) this.#fields.get(name).node.hidden = isPlain;
  }
}

/** Put a value in its place: of "budget.deadline_ms" that is {budget: {deadline_ms: …}}. */
function put(body, name, value) {
  const [first, second] = name.split(".");
  if (second === undefined) body[first] = value;
  else body[first] = { ...body[first], [second]: value };
}

function build({ name, label, kind = "number", step, rows, hint, choices }) {
  const id = `parameter-${name.replaceAll(/[_.]/g, "-")}`;
  const described = hint ? `${id}-hint ${id}-error` : `${id}-error`;
  const shared = { id, name, "aria-describedby": described, autocomplete: "off" };
  const input = entry(kind, shared, { step, rows });
  const error = element("p", { id: `${id}-error`, class: "error", role: "alert" });
  const node = element("div", { class: `field ${kind}` }, element("label", { for: id }, label));
  if (hint) node.append(element("span", { id: `${id}-hint`, class: "hint" }, hint));
  node.append(input, error);
  if (choices) {
    const options = choices.map((value) => element("option", { value }));
    node.append(element("datalist", { id: `${id}-choices` }, ...options));
    input.setAttribute("list", `${id}-choices`);
  }
  return { node, input, error };
}

function entry(kind, shared, { step, rows }) {
  if (kind === "number") return element("input", { ...shared, type: "number", step });
  // What is chosen from a list is cleared in one stroke, so that all of the list shows again.
  if (kind === "line") return element("input", { ...shared, type: "search", spellcheck: "false" });
  return element("textarea", { ...shared, rows });
}

function valueOf({ kind = "number", input }) {
  if (input.value.trim() === "") return null;
  if (kind === "line") return input.value.trim() === NONE ? null : input.value.trim();
  if (kind === "number") return Number(input.value);
  if (kind === "text") return input.value;
  return input.value.split("\n").filter((line) => line !== "");
}

function show({ input, error }, message) {
  if (error.textContent === message) return;
  error.textContent = message;
  if (message) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}
