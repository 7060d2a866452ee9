/** Rounds of a reflection: what was thought of, and the draft beside its revision. */

import { facts, written } from "./drafts_view.js";
import { element } from "./element.js";
import { several } from "./numbers.js";
import { wordDiff } from "./word_diff.js";

/** Nodes that show a round as `reflection` has it. */
export function roundView({ before, thoughts, revision }) {
  const nodes = thoughts.map(thought);
  if (revision === null) {
    nodes.push(element("p", { class: "hint" }, "No revision: the answer stayed as it was."));
    return nodes;
  }
  const changes = wordDiff(before, revision.text);
  const columns = element(
    "div",
    { class: "revision" },
    column("Before", changes.before, "del"),
    column("After", changes.after, "ins", facts(revision)),
  );
  return [...nodes, columns, element("p", { class: "hint" }, inWords(changes))];
}

function thought({ stage, draft }) {
  const head = element("h5", {}, stage);
  const foot = element("p", { class: "facts" }, facts(draft));
  return element("div", { class: "thought" }, head, written(draft.text), foot);
}

function column(title, runs, tag, foot = "") {
  const marked = runs.flatMap(({ text, same }) => {
    const words = text.trimEnd();
    return same || words === "" ? [text] : [element(tag, {}, words), text.slice(words.length)];
  });
  const node = element("div", {}, element("h5", {}, title));
  node.append(element("p", { class: "written whole" }, ...marked));
  if (foot) node.append(element("p", { class: "facts" }, foot));
  return node;
}

function inWords({ removed, added }) {
  if (removed + added === 0) return "No word changed.";
  return `${several(removed, "word")} removed, ${added} added.`;
}
