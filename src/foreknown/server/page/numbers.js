/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-GB", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const significant = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });
const scores = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 4 });

/** 1,024 */
export function count(number) {
  return whole.format(number);
}

/** 0, 7.3, 48.2, 1,240: three figures or so. */
export function rate(number) {
  return number > 0 && number < 100 ? tenths.format(number) : whole.format(number);
}

/** 1 vote, 2 votes: of a word whose plural is regular. */
export function several(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** 1 token, 2 tokens. */
export function tokens(number) {
  return several(number, "token");
}

/** $0.0000151, $1.2: of dollars, however few. */
export function money(usd) {
  return `$${significant.format(usd)}`;
}

/** 0.023, 4.1, 240: of joules. */
export function energy(joules) {
  return joules < 1 ? significant.format(joules) : rate(joules);
}

/** 1, 0.75, −0.0001: a score, exact enough to be told from others. */
export function score(number) {
  return scores.format(number).replace("-", "−");
}

/** 4.1 ms, 230 ms, 1.7 s, 3 min, 2 h: of milliseconds. */
export function duration(ms) {
  if (ms < 10) return `${tenths.format(ms)} ms`;
  if (ms < 1000) return `${whole.format(ms)} ms`;
  if (ms < 100_000) return `${tenths.format(ms / 1000)} s`;
  if (ms < 6_000_000) return `${whole.format(ms / 60_000)} min`;
  return `${whole.format(ms / 3_600_000)} h`;
}
