/** The page: puts its parts together. */

import { Composer } from "./composer.js";
import { Dialogue, sentence } from "./dialogue.js";
import { setText } from "./element.js";
import { watchEngine } from "./engine_view.js";
import { followEnd } from "./following.js";
import { Models } from "./models.js";
import { count } from "./numbers.js";
import { attachPanel } from "./panel.js";
import { Parameters } from "./parameters.js";
import { attachTheme } from "./theme.js";

const part = (id) => document.getElementById(id);

const panel = attachPanel(part("panel"), part("panel-switch"), part("chat"));
const parameters = new Parameters(part("parameters"), panel.open);
const models = new Models(part("model"), introduce);
const composer = new Composer(part("composer"), {
  send: (text) => dialogue.say(text),
  stop: () => dialogue.stop(),
});
const dialogue = new Dialogue({
  composer,
  models,
  parameters,
  turns: part("turns"),
  announce: (text) => setText(part("announcer"), text),
  toEnd: followEnd(part("conversation")),
});

attachTheme(part("theme"));
part("new").addEventListener("click", () => dialogue.restart());
watchEngine(part("engine"));
composer.focus();
models.load().catch((error) => composer.showError(sentence(error.message)));

/** Say in the empty conversation who will answer. */
function introduce({ id, context_length, chat }) {
  const talks = chat !== false;
  const context = context_length ? `${count(context_length)} tokens of context` : "";
  const kind = talks ? "" : "continues text, without turns";
  setText(document.querySelector("#opening .name"), id);
  setText(document.querySelector("#opening .about"), [context, kind].filter(Boolean).join(" · "));
  parameters.letTalk(talks);
}
