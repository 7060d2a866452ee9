/**
 * What models write, as DOM nodes: fenced code, headings, lists, rules, paragraphs; in them inline
 * code, bold and italics. Everything else stays the text it is.
 *
 * Text becomes text nodes only. No pattern here can match in two ways, so time grows with length.
 */

import { element } from "./element.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*$/;
const HEADING = /^(#{1,6})[ \t]+(.*)$/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(.*)$/;
const RULE = /^ {0,3}(?:-{3,}|\*{3,}|_{3,})[ \t]*$/;
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\*([^\s*][^*\n]*)\*(?![\w*])/g;

/**
 * A node whose text can grow: `show(text)` builds anew only the blocks that changed, so what was
 * read, selected or copied from stays as it is while the end is still being written.
 */
export class RichText {
  node = element("div", { class: "rich" });
  #shown = [];

  show(text) {
    const blocks = split(text);
    let same = 0;
    while (same < blocks.length && this.#shown[same] === blocks[same].source) same += 1;
    while (this.node.childNodes.length > same) this.node.lastChild.remove();
    this.node.append(...blocks.slice(same).map(build));
    this.#shown = blocks.map((block) => block.source);
  }
}

/** Blocks in order: {kind, lines, source}; equal sources make equal nodes. */
function split(text) {
  const lines = text.split("\n");
  const blocks = [];
  let at = 0;
  const take = (kind, end, more = {}) => {
    const taken = lines.slice(at, end);
    blocks.push({ kind, lines: taken, source: `${kind}\n${taken.join("\n")}`, ...more });
    at = end;
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    if (line.trim() === "") at += 1;
    else if (fence) take("code", fenceEnd(lines, at, fence[1]), { language: fence[2] });
    else if (HEADING.test(line)) take("heading", at + 1);
    else if (RULE.test(line)) take("rule", at + 1);
    else if (ITEM.test(line)) take("list", listEnd(lines, at));
    else take("paragraph", paragraphEnd(lines, at));
  }
  return blocks;
}

function fenceEnd(lines, at, fence) {
  for (let end = at + 1; end < lines.length; end += 1) {
    const line = lines[end].trim();
    if (line.length >= fence.length && line === fence[0].repeat(line.length)) return end + 1;
  }
  return lines.length;
}

function listEnd(lines, at) {
  let end = at + 1;
  // An indented line goes on with its item; a blank one does if an item follows.
  const goesOn = (line) => ITEM.test(line) || (/^[ \t]+\S/.test(line) && !FENCE.test(line));
  while (end < lines.length) {
    if (goesOn(lines[end]) && !RULE.test(lines[end])) end += 1;
    else if (lines[end].trim() === "" && ITEM.test(lines[end + 1] ?? "")) end += 2;
    else break;
  }
  return end;
}

function paragraphEnd(lines, at) {
  let end = at + 1;
  const begins = (line) =>
    line.trim() === "" || [FENCE, HEADING, RULE, ITEM].some((pattern) => pattern.test(line));
  while (end < lines.length && !begins(lines[end])) end += 1;
  return end;
}

function build({ kind, lines, language }) {
  if (kind === "rule") return element("hr");
  if (kind === "code") return code(lines, language);
  if (kind === "list") return list(lines);
  if (kind === "heading") {
    const [, marks, text] = HEADING.exec(lines[0]);
    // The page's own headings end at the third level: an answer's stand below its turn's.
    return element(`h${Math.min(3 + marks.length, 6)}`, {}, ...inline(text));
  }
  return element("p", {}, ...inline(lines.join("\n")));
}

function code(lines, language) {
  const last = lines.at(-1).trim();
  const closed = lines.length > 1 && /^(?:`{3,}|~{3,})$/.test(last);
  const text = lines.slice(1, closed ? -1 : undefined).join("\n");
  const label = language ? `Code, ${language}` : "Code";
  const attributes = { tabindex: "0", role: "group", "aria-label": label };
  return element("pre", attributes, element("code", {}, text));
}

function list(lines) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const root = newList(mark);
  const open = [{ indent: width(indent), node: root }];
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (!found) {
      if (line.trim() !== "") open.at(-1).node.lastChild.append("\n", ...inline(line.trim()));
      continue;
    }
    const depth = width(found[1]);
    while (open.length > 1 && depth < open.at(-1).indent) open.pop();
    if (depth > open.at(-1).indent + 1) {
      const inner = newList(found[2]);
      open.at(-1).node.lastChild.append(inner);
      open.push({ indent: depth, node: inner });
    }
    open.at(-1).node.append(element("li", {}, ...inline(found[3])));
  }
  return root;
}

function newList(mark) {
  const number = Number.parseInt(mark, 10);
  if (Number.isNaN(number)) return element("ul");
  return element("ol", { start: number === 1 ? null : number });
}

function width(indent) {
  return indent.replaceAll("\t", "    ").length;
}

function inline(text) {
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    const [all, codeText, bold, italic] = found;
    if (found.index > at) nodes.push(text.slice(at, found.index));
    if (codeText !== undefined) nodes.push(element("code", {}, codeText));
    else if (bold !== undefined) nodes.push(element("strong", {}, ...inline(bold)));
    else nodes.push(element("em", {}, ...inline(italic)));
    at = found.index + all.length;
  }
  if (at < text.length) nodes.push(text.slice(at));
  return nodes;
}
