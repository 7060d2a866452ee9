/** Votes: what drafts ended in, and how many did in each. */

import { element } from "./element.js";
import { shortened } from "./fold.js";
import { score, several } from "./numbers.js";

const MOST = 8;

/** Nodes that show tallies as {answer, votes, weight}, the best first. */
export function votesView(tallies) {
  const whole = tallies.reduce((sum, one) => sum + one.weight, 0);
  const list = (some, start) =>
    element(
      "ol",
      { class: "votes" },
      ...some.map((one, place) => row(one, whole, start + place === 0)),
    );
  return shortened(tallies, MOST, list, "answer");
}

function row({ answer, votes, weight }, whole, isFirst) {
  const share = element("span", { class: "share" });
  share.style.setProperty("width", `${whole > 0 ? (100 * weight) / whole : 0}%`);
  const isRead = answer !== null;
  const name = element("span", { class: isRead ? "choice" : "choice hint" });
  name.append(isRead ? answer : "No answer could be read");
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, share);
  // Where votes weigh alike, their number says it all.
  const words = [several(votes, "vote")];
  if (weight !== votes) words.push(`weight ${score(weight)}`);
  const count = element("span", { class: "votes-count" }, words.join(", "));
  return element("li", { "data-chosen": isFirst && isRead }, name, " ", bar, count);
}
