/** What the engines are doing, asked for twice a second while somebody can see it. */

import { element, setText } from "./element.js";
import { count, duration, rate } from "./numbers.js";
import { call } from "./server.js";
import { Sparkline } from "./sparkline.js";

const PERIOD_MS = 500;
const PERIOD_AFTER_ERROR_MS = 5000;

/** Fill `parent` with a live view of /engine; without end. */
export function watchEngine(parent) {
  const views = new Map();
  const status = element("p", { class: "note" }, "Asking …");
  const foot = element("p", { class: "note" });
  parent.append(status);

  async function look() {
    if (document.hidden || !parent.checkVisibility()) return PERIOD_MS;
    try {
      const state = await (await call("engine", { quiet: true })).json();
      show(state);
      return PERIOD_MS;
    } catch (error) {
      setText(status, error.status === 401 ? "The engine’s view needs a key." : "No answer.");
      status.hidden = false;
      parent.classList.add("stale");
      return PERIOD_AFTER_ERROR_MS;
    }
  }

  function show({ models, uptime_s }) {
    status.hidden = true;
    parent.classList.remove("stale");
    for (const model of models) {
      if (!views.has(model.id)) {
        const view = new ModelView(model.id, models.length > 1);
        views.set(model.id, view);
        parent.append(view.node);
      }
      views.get(model.id).show(model);
    }
    setText(foot, `Up for ${duration(uptime_s * 1000)}`);
    parent.append(foot);
  }

  let timer = 0;
  let looking = false;

  async function turn() {
    clearTimeout(timer);
    if (looking) return;
    looking = true;
    const wait = await look();
    looking = false;
    // A page in the background is woken by the event below.
    if (!document.hidden) timer = setTimeout(turn, wait);
  }

  document.addEventListener("visibilitychange", turn);
  turn();
}

class ModelView {
  #values = new Map();
  #held = element("span", { class: "held" });
  #cached = element("span", { class: "cached" });
  #bar = element("div", { class: "blocks", role: "img" });
  #sparkline = new Sparkline();
  #reach = element("p", { class: "reach", "aria-hidden": "true" });

  constructor(name, named) {
    const title = element("h3", { class: named ? "" : "unseen" }, name);
    const gauges = element(
      "dl",
      { class: "gauges" },
      this.#value("running"),
      this.#value("waiting"),
      this.#value("tokens/s"),
    );
    this.#bar.append(this.#held, this.#cached);
    const blocks = element(
      "dl",
      { class: "legend" },
      this.#value("held"),
      this.#value("cached"),
      this.#value("free"),
    );
    const more = element(
      "dl",
      { class: "more" },
      this.#value("last step"),
      this.#value("prompt tokens found in cache"),
      this.#value("preemptions"),
      this.#value("pace against forecast"),
      this.#value("promises kept"),
    );
    const steps = element("div", { class: "steps" }, this.#sparkline.node, this.#reach);
    this.node = element("div", { class: "model-view" }, title, gauges);
    this.node.append(
      element("h4", {}, "Blocks of state"), this.#bar, blocks,
      element("h4", {}, "Step times"), steps, more,
    );
  }

  show(model) {
    const { total, held, cached } = model.blocks;
    const free = Math.max(total - held - cached, 0);
    this.#set("running", count(model.running));
    this.#set("waiting", count(model.waiting));
    this.#set("tokens/s", rate(model.tokens_per_second ?? 0));
    this.#set("held", count(held));
    this.#set("cached", count(cached));
    this.#set("free", count(free));
    this.#held.style.setProperty("width", `${share(held, total)}%`);
    this.#cached.style.setProperty("width", `${share(cached, total)}%`);
    const words = `${count(held)} held, ${count(cached)} cached, ${count(free)} free`;
    this.#bar.setAttribute("aria-label", `Of ${count(total)} blocks: ${words}`);
    this.#showSteps(model.recent_step_ms ?? []);
    const { asked_tokens, found_tokens } = model.prefix;
    const found = `${share(found_tokens, asked_tokens).toFixed(0)} %`;
    this.#set("prompt tokens found in cache", asked_tokens ? found : "–");
    this.#set("last step", model.step_ms ? duration(model.step_ms) : "–");
    this.#set("preemptions", count(model.preemptions));
    this.#showForetelling(model);
  }

  #showForetelling({ drift, promises }) {
    if (drift) {
      const times = `${drift.ratio.toFixed(2)} ×`;
      this.#set("pace against forecast", drift.has_drifted ? `${times}, drifted` : times);
    }
    const judged = promises ? promises.kept + promises.broken : 0;
    this.#set("promises kept", judged ? `${count(promises.kept)} of ${count(judged)}` : "–");
  }

  #showSteps(steps) {
    const most = Math.max(...steps, 0);
    const median = [...steps].sort((a, b) => a - b)[steps.length >> 1] ?? 0;
    const words = `median ${duration(median)}, longest ${duration(most)}`;
    const some = steps.length > 0;
    this.#sparkline.show(steps, some ? `The last ${steps.length} steps: ${words}` : "No steps yet");
    setText(this.#reach, some ? words : "No steps yet");
  }

  #value(name) {
    const value = element("dd", {}, "–");
    this.#values.set(name, value);
    const [first] = name.split(/[ /]/);
    return element("div", { class: first }, element("dt", {}, name), value);
  }

  #set(name, text) {
    setText(this.#values.get(name), text);
  }
}

function share(part, whole) {
  return whole > 0 ? (100 * part) / whole : 0;
}
