/**
 * What changed from one text to another, in words: by their longest common subsequence.
 *
 * Knows nothing of the page.
 */

const MOST_CELLS = 4_000_000;

/**
 * Both texts cut into runs of words that stayed or did not: {before, after, removed, added}, the
 * first two lists of {text, same} that make up the texts, the others numbers of words.
 *
 * White space goes with the word before it and is not compared. Texts of thousands of words that
 * have little in common are taken to differ wholly, but for their beginnings and ends.
 */
export function wordDiff(before, after) {
  const [old, young] = [wordsOf(before), wordsOf(after)];
  const [oldSame, youngSame] = common(old, young);
  return {
    before: runs(old, oldSame),
    after: runs(young, youngSame),
    removed: changed(old, oldSame),
    added: changed(young, youngSame),
  };
}

/** Words as {word, text}: the text is the word with the white space after it. */
function wordsOf(text) {
  const words = [];
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
    const isSpace = segment.trim() === "";
    if (isSpace && words.length > 0) words.at(-1).text += segment;
    else words.push({ word: segment.trim(), text: segment });
  }
  return words;
}

/** For each word of both whether it is in the subsequence. */
function common(old, young) {
  const same = (i, j) => old[i].word === young[j].word;
  const least = Math.min(old.length, young.length);
  let start = 0;
  while (start < least && same(start, start)) start += 1;
  let end = 0;
  const endsAlike = () => same(old.length - 1 - end, young.length - 1 - end);
  while (end < least - start && endsAlike()) end += 1;
  const n = old.length - start - end;
  const m = young.length - start - end;
  const isAtEnds = (length) => (_, at) => at < start || at >= length - end;
  const oldSame = old.map(isAtEnds(old.length));
  const youngSame = young.map(isAtEnds(young.length));
  if (n * m > MOST_CELLS) return [oldSame, youngSame];

  // lengths[i][j]: of the subsequence of what follows i and j.
  const lengths = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
  for (let i = n - 1; i >= 0; i -= 1) {
    for (let j = m - 1; j >= 0; j -= 1) {
      const [below, here] = [lengths[i + 1], lengths[i]];
      here[j] = same(start + i, start + j) ? below[j + 1] + 1 : Math.max(below[j], here[j + 1]);
    }
  }
  for (let i = 0, j = 0; i < n && j < m; ) {
    if (same(start + i, start + j)) {
      oldSame[start + i] = true;
      youngSame[start + j] = true;
      i += 1;
      j += 1;
    } else if (lengths[i + 1][j] >= lengths[i][j + 1]) i += 1;
    else j += 1;
  }
  return [oldSame, youngSame];
}

function runs(words, areSame) {
  const found = [];
  words.forEach(({ text }, place) => {
    const same = areSame[place];
    if (found.at(-1)?.same === same) found.at(-1).text += text;
    else found.push({ text, same });
  });
  return found;
}

function changed(words, areSame) {
  return words.filter(({ word }, place) => word !== "" && !areSame[place]).length;
}
