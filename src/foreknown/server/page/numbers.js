/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-GB", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

/** 1,024 */
export function count(number) {
  return whole.format(number);
}

/** 0, 7.3, 48.2, 1,240: three figures or so. */
export function rate(number) {
  return number > 0 && number < 100 ? tenths.format(number) : whole.format(number);
}

/** 1 token, 2 tokens. */
export function tokens(number) {
  return `${count(number)} ${number === 1 ? "token" : "tokens"}`;
}

/** 4.1 ms, 230 ms, 1.7 s, 3 min, 2 h: of milliseconds. */
export function duration(ms) {
  if (ms < 10) return `${tenths.format(ms)} ms`;
  if (ms < 1000) return `${whole.format(ms)} ms`;
  if (ms < 100_000) return `${tenths.format(ms / 1000)} s`;
  if (ms < 6_000_000) return `${whole.format(ms / 60_000)} min`;
  return `${whole.format(ms / 3_600_000)} h`;
}
