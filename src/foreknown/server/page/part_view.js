/** One part of a trace, and the parts in it: strategies nest, and so does what is drawn of them. */

import { beamsView } from "./beams_view.js";
import { chosenMark, draftsView, facts } from "./drafts_view.js";
import { element } from "./element.js";
import { fold, shortened } from "./fold.js";
import { several } from "./numbers.js";
import { roundView } from "./revisions_view.js";
import { chosenIn, isDraft, isReflection, reflection, textOf, tokensOf } from "./trace.js";
import { treeView } from "./tree_view.js";
import { votesView } from "./votes_view.js";

const MOST = 6;
const SCORERS = {
  logprob: "Scored by the model’s own probabilities",
  verifier: "Scored by the verifier",
  judge: "Scored by the model’s own grades",
};
const STOPPED = {
  rounds: "All rounds were done",
  "nothing changed": "Ended when nothing changed any more",
  "nothing was written": "Ended by a revision without a word, which does not count",
  "cut short": "Cut short: the time was over, or there was no room for more",
};

/** Nodes that show what a part did. */
export function partView(part) {
  const nodes = [];
  const words = remarks(part);
  if (words) nodes.push(element("p", { class: "hint" }, words));
  if (part.votes) nodes.push(...section("Votes", votesView(part.votes)));
  if (part.tree) nodes.push(...section("Lines tried", treeView(part.tree, textOf(part))));
  if (part.steps) nodes.push(...section("Beams", beamsView(part.steps, part.by)));
  if (isReflection(part)) nodes.push(...revisions(part));
  else nodes.push(...candidates(part));
  return nodes.length > 0 ? nodes : [element("p", { class: "hint" }, "Nothing is known of it.")];
}

function section(title, nodes) {
  return [element("h4", {}, title), ...nodes];
}

function remarks({ by, stopped, score, rounds, tree, chosen }) {
  const words = [];
  if (by) words.push(SCORERS[by] ?? `Scored by ${by}`);
  if (tree) words.push(`In ${several(rounds, "round")} the best score was ${score}`);
  if (tree) words.push("A line’s bar is the mean score of the drafts that went through it");
  if (stopped) words.push(STOPPED[stopped] ?? stopped);
  if (typeof chosen === "string") words.push(`Chosen: ${chosen}`);
  return words.map((each) => `${each}.`).join(" ");
}

/** The drafts or the parts of which one was chosen. */
function candidates(part) {
  const { drafts = [], parts = [], scores = [], by } = part;
  const best = chosenIn(part);
  const isChosen = (place) => place === best;
  const ofMine = parts.every(isDraft) ? parts.flatMap((each) => each.drafts) : [];
  const all = ofMine.length > 0 ? ofMine : drafts;
  const marked = all.map((draft, place) => {
    return { ...draft, score: scores[place], isChosen: isChosen(place) };
  });
  const nodes = marked.length > 0 ? section(titleOf(part), draftsView(marked, by)) : [];
  if (ofMine.length > 0 || parts.length === 0) return nodes;
  const inner = (some, start) =>
    element(
      "div",
      { class: "parts" },
      ...some.map((one, at) => {
        const place = start + at;
        const mark = isChosen(place) && parts.length > 1;
        return partFold(one, `${place + 1}. `, mark, { score: scores[place] }, by);
      }),
    );
  return [...nodes, ...section("Answers", shortened(parts, MOST, inner, "answer"))];
}

function titleOf({ tree, steps, drafts = [], parts = [] }) {
  const isSingle = drafts.length + parts.length === 1;
  if (tree) return "The best draft";
  if (steps) return "Beams in the end";
  return isSingle ? "The draft" : "Drafts";
}

function partFold(part, before, isChosen, more, by) {
  const words = `${before}${part.name}`;
  const its = element("span", { class: "worth" }, facts({ ...tokensOf(part), ...more }, by));
  const mark = isChosen ? [" ", chosenMark()] : [];
  const summary = [element("span", { class: "name" }, words), ...mark, " ", its];
  return fold(summary, () => partView(part), { name: "fold part" });
}

function revisions(part) {
  const { first, rounds } = reflection(part);
  const nodes = [];
  // A draft that was revised stands beside its revision.
  const isInRound = isDraft(first) && rounds[0]?.revision;
  const shown = isDraft(first) ? draftsView(first.drafts) : [partFold(first, "", false, {})];
  if (!isInRound) nodes.push(...section("First answer", shown));
  rounds.forEach((round, place) => {
    const took = element("p", { class: "facts" }, facts(round.took));
    nodes.push(...section(`Round ${place + 1}`, [took, ...roundView(round)]));
  });
  return nodes;
}
