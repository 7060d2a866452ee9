/** Drafts side by side, with what each took, how good it is, and which was chosen. */

import { element } from "./element.js";
import { shortened } from "./fold.js";
import { score as scoreText, tokens } from "./numbers.js";

const MOST = 6;
const MOST_NAMED = 8;
const LONG = 480;
const ENDS = {
  stop: "ended by itself",
  length: "cut at its limit of tokens",
  cancelled: "its time was over",
};

/**
 * Nodes that show drafts as {text, tokens, finish_reason, score, isChosen}; `by` is what scores
 * are of. Drafts that are the same stand there once.
 */
export function draftsView(drafts, by) {
  const isOne = drafts.length === 1;
  const list = (groups) =>
    element("ul", { class: "drafts" }, ...groups.map((group) => card(group, by, isOne)));
  return shortened(groupsOf(drafts), MOST, list, "draft");
}

/** A mark that what it stands at was chosen. */
export function chosenMark(words = "chosen") {
  return element("span", { class: "mark" }, words);
}

/** A text as it was written; a long one scrolls. */
export function written(text) {
  const isLong = text.length > LONG || text.split("\n").length > 12;
  const scrolls = isLong ? { tabindex: "0", role: "group", "aria-label": "Text" } : {};
  if (text.trim() === "") return element("p", { class: "hint" }, "Nothing was written");
  return element("p", { class: "written", ...scrolls }, text);
}

/** What a draft or a part took and is worth, in a line. */
export function facts({ tokens: n, exact = true, score, finish_reason }, by) {
  const said = [];
  if (n !== undefined) said.push(`${exact ? "" : "≥ "}${tokens(n)}`);
  if (score !== undefined) said.push(worth(score, by));
  if (finish_reason) said.push(ENDS[finish_reason] ?? finish_reason);
  return said.join(" · ");
}

function worth(score, by) {
  if (by === "logprob") return `log-probability ${scoreText(score)} a token`;
  if (by !== "judge") return `score ${scoreText(score)}`;
  return score < 0 ? "not graded" : `grade ${scoreText(score)}`;
}

function groupsOf(drafts) {
  const groups = new Map();
  drafts.forEach((draft, place) => {
    const { text, tokens: n, finish_reason, score } = draft;
    const alike = JSON.stringify([text, n, finish_reason, score]);
    const group = groups.get(alike) ?? { draft, places: [], isChosen: false };
    group.places.push(place + 1);
    group.isChosen ||= Boolean(draft.isChosen);
    groups.set(alike, group);
  });
  return [...groups.values()];
}

function card({ draft, places, isChosen }, by, isOne) {
  const shown = [written(draft.text), element("p", { class: "facts" }, facts(draft, by))];
  if (isOne) return element("li", {}, ...shown);
  const head = element("p", { class: "which" }, nameOf(places));
  if (isChosen) head.append(" ", chosenMark());
  return element("li", { "data-chosen": isChosen }, head, ...shown);
}

function nameOf(places) {
  if (places.length === 1) return `Draft ${places[0]}`;
  const [first, last] = [places[0], places.at(-1)];
  const isRow = places.length > 2 && last - first === places.length - 1;
  if (isRow) return `Drafts ${first} to ${last}, alike`;
  const n = places.length;
  if (n > MOST_NAMED) return `${n} drafts alike, draft ${first} the first of them`;
  return `Drafts ${places.slice(0, -1).join(", ")} and ${last}, alike`;
}
