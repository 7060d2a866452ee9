/**
 * Measures one answer as the reader sees it: from the moment it was asked for, network included.
 *
 * Until the server says how many tokens there were, every piece of text counts as at least one: a
 * piece can hold several, so the count and the rate are lower bounds.
 */
export class Stopwatch {
  #now;
  #asked;
  #first = null;
  #last = null;
  #pieces = 0;
  #reasoned = false;
  #usage = null;
  #finish = null;
  #told = {};

  constructor(now = () => performance.now()) {
    this.#now = now;
    this.#asked = now();
  }

  /** A piece of the answer, as `answer` yields them. */
  note(piece) {
    if (piece.usage) {
      this.#usage = piece.usage;
      return;
    }
    if (piece.foreknown) {
      this.#told = piece.foreknown;
      return;
    }
    this.#last = this.#now();
    if (piece.finish) {
      this.#finish = piece.finish;
      return;
    }
    this.#first ??= this.#last;
    // The token that ends the reasoning may begin the text: one token, two pieces.
    if (!(piece.text && this.#reasoned)) this.#pieces += 1;
    this.#reasoned = Boolean(piece.reasoning);
  }

  get #forecast() {
    const { forecast } = this.#told;
    if (!forecast) return null;
    return {
      firstMs: forecast.ttft_ms ?? null,
      tokensPerSecond: forecast.tpot_ms > 0 ? 1000 / forecast.tpot_ms : null,
      wholeMs: forecast.total_ms,
      tokens: forecast.tokens ?? null,
      joules: forecast.joules ?? null,
      usd: forecast.usd ?? null,
      isOfThisLength: this.#finish === "length" && !this.#isByStrategy,
    };
  }

  // Such an answer comes whole, and its tokens are those of all its drafts.
  get #isByStrategy() {
    return Boolean(this.#told.strategy);
  }

  get #taken() {
    const { joules = null, usd = null } = this.#told.actual ?? {};
    return { joules, usd };
  }

  get #promise() {
    const totalMs = this.#told.promise?.total_ms ?? null;
    return totalMs === null ? null : { totalMs, kept: this.#told.kept ?? null };
  }

  /**
   * What is known now: `tokens` and whether that is `exact`, `firstMs` to the first token,
   * `tokensPerSecond` after it, `wholeMs` to its end, and what the server says of the prompt; null
   * for what is not known. `joules` and `usd` are what it took of them, if the server counts that.
   * `forecast` has the same as it was forecast, and whether the answer is as long as the forecast
   * of the whole meant; `promise` is null, or the milliseconds that were promised, and whether that
   * was kept. An answer that `isByStrategy` has no first token and no rate, and its `totalTokens`
   * are 0: they would not be those of one context.
   */
  get figures() {
    const usage = this.#usage;
    const tokens = usage?.completion_tokens ?? this.#pieces;
    const seconds = this.#first === null ? 0 : (this.#last - this.#first) / 1000;
    const isWhole = this.#isByStrategy;
    const isPaced = tokens > 1 && seconds > 0 && !isWhole;
    return {
      tokens,
      exact: usage !== null,
      isByStrategy: this.#isByStrategy,
      firstMs: this.#first === null || isWhole ? null : this.#first - this.#asked,
      tokensPerSecond: isPaced ? (tokens - 1) / seconds : null,
      promptTokens: usage?.prompt_tokens ?? null,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? null,
      totalTokens: isWhole ? 0 : (usage?.total_tokens ?? null),
      wholeMs: this.#finish === null ? null : this.#last - this.#asked,
      ...this.#taken,
      forecast: this.#forecast,
      promise: this.#promise,
    };
  }
}
