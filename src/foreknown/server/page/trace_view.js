/** What stands below an answer by a strategy: how it came about. */

import { element } from "./element.js";
import { fold } from "./fold.js";
import { duration, several, tokens } from "./numbers.js";
import { partView } from "./part_view.js";
import { roundsView } from "./rounds_view.js";

/** A fold with the trace in what the server said at an answer's end. */
export function traceView(told) {
  const make = () => {
    const nodes = [element("p", { class: "overview" }, overview(told)), ...partView(told.trace)];
    const rounds = told.timeline ?? [];
    if (rounds.length > 0) nodes.push(element("h4", {}, "What it took"), ...roundsView(rounds));
    return nodes;
  };
  return fold("How it came about", make, { name: "trace" });
}

function overview({ strategy, forecast, actual }) {
  const { asked, done, fits, rounds, reach } = strategy;
  const inRounds = `${tokens(actual.tokens)} in ${several(rounds, "round")}`;
  const took = `${inRounds}, ${duration(actual.total_ms)}`;
  const most = `at most ${tokens(forecast.tokens)}, ${duration(forecast.total_ms)}`;
  const words = [`${done}: ${took} (forecast: ${most}).`];
  if (asked !== done) words.push(`Asked for was ${asked}: this is what the budget had room for.`);
  if (!fits) words.push("Not even that fitted.");
  if (reach) words.push(`The time was over in round ${reach.split(":")[0]}.`);
  return words.join(" ");
}
