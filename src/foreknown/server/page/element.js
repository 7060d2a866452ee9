/**
 * DOM nodes in one call: element("p", { class: "error" }, "text", anotherNode).
 *
 * Children that are strings become text nodes, so nothing a model or a server wrote is ever markup.
 * An attribute that is true stands without a value; one that is false, null or undefined is left
 * out.
 */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for nodes of SVG. */
export function svgElement(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Set a node's text if it differs: what stays the same is not painted, nor read out, again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
