/** A search tree: lines below the lines they follow, with how often each was tried and how well. */

import { element } from "./element.js";
import { fold, shortened } from "./fold.js";
import { several } from "./numbers.js";

const MOST = 5;
const DEEPEST = 6;

/**
 * Nodes that show a tree of {line, visits, mean, children}; the way to `answer` is marked and open,
 * all else is folded.
 */
export function treeView(root, answer) {
  const named = { ...root, line: root.line || "The question" };
  return [element("ul", { class: "tree" }, branch(named, answer.split("\n"), 0))];
}

/** `way`: lines of the answer from here on; null: it does not lead there. */
function branch(node, way, depth) {
  const isOnWay = way !== null;
  const item = element("li", { "data-chosen": isOnWay && depth > 0 });
  const children = node.children ?? [];
  if (children.length === 0) {
    item.append(element("p", {}, ...row(node, isOnWay && depth > 0)));
    return item;
  }
  const inside = () => below(children, way, depth + 1);
  item.append(fold(row(node, isOnWay && depth > 0), inside, { open: isOnWay, name: "fold node" }));
  return item;
}

function below(children, way, depth) {
  const leads = (child) => way !== null && child.line === way[0];
  const sorted = [...children].sort(
    (a, b) => Number(leads(b)) - Number(leads(a)) || b.visits - a.visits || b.mean - a.mean,
  );
  // Deep trees keep to the width of a phone.
  const name = depth > DEEPEST ? "deep" : null;
  const next = (child) => branch(child, leads(child) ? way.slice(1) : null, depth);
  const list = (some) => element("ul", { class: name }, ...some.map(next));
  return shortened(sorted, MOST, list, "line");
}

function row({ line, visits, mean }, isOnWay) {
  const share = element("span", { class: "share" });
  share.style.setProperty("width", `${100 * Math.min(Math.max(mean, 0), 1)}%`);
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, share);
  const words = `${mean.toFixed(2)} in ${several(visits, "draft")}`;
  const worth = element("span", { class: "worth" }, words);
  const text = element("span", { class: "line" }, line.trim() === "" ? "(a blank line)" : line);
  const said = isOnWay ? [element("span", { class: "unseen" }, "on the way to the answer")] : [];
  return [text, " ", element("span", { class: "measured" }, bar, worth), ...said];
}
