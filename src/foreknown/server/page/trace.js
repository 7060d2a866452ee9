/**
 * Reads traces: how an answer by a strategy came about, as the server records it.
 *
 * A part is {name, drafts: [{text, tokens, logprob, finish_reason}], parts: [part]} and what its
 * strategy noted; what is empty is left out. Knows nothing of the page.
 */

const STAGES = { ideas: "Ideas", pick: "Pick", revise: "Revision" };

/** The place of the draft or the part that a part went on with; null where it did not choose. */
export function chosenIn({ chosen, scores = [], parts = [] }) {
  if (Number.isInteger(chosen)) return chosen;
  if (scores.length === 0) return null;
  // Beams stand in their order; of tries the first of the best is taken.
  return parts.length > 0 ? scores.indexOf(Math.max(...scores)) : 0;
}

/** What a part answered; "" for nothing. */
export function textOf(part) {
  if (isReflection(part)) return reflection(part).text;
  const place = chosenIn(part) ?? 0;
  const inner = part.parts?.[place];
  return inner ? textOf(inner) : (part.drafts?.[place]?.text ?? "");
}

/** Tokens of a part's drafts, and whether those are all that it took. */
export function tokensOf({ drafts = [], parts = [], tree, steps, by }) {
  const inner = parts.map(tokensOf);
  const all = [...drafts.map((draft) => draft.tokens), ...inner.map((one) => one.tokens)];
  return {
    tokens: all.reduce((sum, each) => sum + each, 0),
    // Trees and beams keep but their best drafts; a judge's grades are not kept.
    exact: !(tree || steps || by === "judge") && inner.every((one) => one.exact),
  };
}

/** Whether a part is one draft and nothing else. */
export function isDraft({ drafts = [], parts, tree, scores }) {
  return drafts.length === 1 && !parts && !tree && !scores;
}

/** Whether a part revised an answer. */
export function isReflection({ name, parts = [] }) {
  return name.startsWith("reflect") && parts.length > 0;
}

/**
 * A reflection, told apart: {first, rounds, text}: the part that gave the first answer, and the
 * answer in the end. A round is {before, thoughts: [{stage, draft}], revision, took}; the revision
 * is a draft, or null if there was none that counts.
 */
export function reflection({ parts: [first, ...parts], stopped }) {
  let text = textOf(first);
  const rounds = parts.map((part, place) => {
    const { drafts = [] } = part;
    const before = text;
    const last = drafts.at(-1);
    const ended = place === parts.length - 1 ? stopped : "";
    const revision = last && !cameToNothing(last, before, ended) ? last : null;
    if (revision) text = revision.text;
    return { before, thoughts: thoughtsOf(part, revision), revision, took: tokensOf(part) };
  });
  return { first, rounds, text };
}

// A round that found nothing to change ends with its ideas, which say so.
function cameToNothing(last, before, ended) {
  if (["cut short", "nothing was written", "no better"].includes(ended)) return true;
  return ended === "nothing changed" && last.text.trim() !== before.trim();
}

function thoughtsOf({ drafts = [], asked = [] }, revision) {
  const thoughts = revision ? drafts.slice(0, -1) : drafts;
  return thoughts.map((draft, place) => ({ stage: STAGES[asked[place]] ?? "Thought", draft }));
}
