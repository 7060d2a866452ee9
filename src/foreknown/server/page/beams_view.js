/** Beams: the beginnings that were kept after each step, the best first. */

import { facts } from "./drafts_view.js";
import { element } from "./element.js";
import { shortened } from "./fold.js";

const MOST = 6;

/** Nodes that show steps, each a list of {line, tokens, score, finish_reason}; see `draftsView`. */
export function beamsView(steps, by) {
  const list = (some, start) =>
    element(
      "ul",
      { class: "beams" },
      ...some.map((beams, place) => {
        const head = element("h5", {}, `Line ${start + place + 1}`);
        return element("li", {}, head, element("ol", {}, ...beams.map(row(by))));
      }),
    );
  return shortened(steps, MOST, list, "step");
}

function row(by) {
  return (beam) => {
    const line = element("span", { class: "line" }, beam.line.trim() || "(a blank line)");
    return element("li", {}, line, " ", element("span", { class: "worth" }, facts(beam, by)));
  };
}
