/* Chooses the next token of every row of a step, with the same bits on every machine (law 3).
 *
 * A token depends on its row of logits, its sequence's settings and history, the seed and its
 * position in the sequence; on nothing else. In this order:
 *
 *   1. log-probabilities: log-softmax of the raw logits, in f32      (vLLM's "raw_logprobs")
 *   2. the mask: a token whose bit is not set, or that has none, becomes -infinity, which
 *      nothing below changes
 *   3. logit bias: added                                             (OpenAI, vLLM, llama.cpp)
 *   4. repetition penalty, over prompt and output:
 *      divides a positive logit, multiplies a negative one           (transformers, CTRL)
 *   5. presence and frequency penalty, over the output:
 *      logit -= presence + frequency * count                         (OpenAI, vLLM)
 *   6. temperature 0: the largest logit, of equals the lowest id. Otherwise
 *      weight = exp((logit - largest) / temperature)
 *   7. top-k: the k largest, of equals the lowest ids
 *   8. top-p: of those, the fewest best whose weights reach p of their sum
 *   9. min-p: of those, all with at least min_p of the largest weight
 *  10. one draw with probability proportional to weight, by Philox 4x32-10
 *
 * Steps 6 to 10 are in transformers' order. The best tokens are found without sorting the
 * vocabulary: of its groups of 64, the k-th largest maximum is no better than the k-th best
 * token. Only when top-p or min-p keep more than a few hundred tokens are all those sorted that
 * weigh enough to be kept.
 *
 * Sums over the vocabulary run in 16 virtual lanes and one fixed tree; other sums are f64, in
 * rank order. Nothing is allocated. */
#include "sample.h"

#include "fkmath.h"

enum {
    LANES = 16,
    GROUP = 64,      /* tokens whose maximum is kept, to find the best ones quickly */
    PORTION = 1024,  /* tokens whose weights are summed together, to draw quickly */
    WORD = 32,       /* tokens of a word of the mask */
    FIRST_TRY = 256, /* tokens ranked first where top-p or min-p alone decide how many are kept */
    DIGIT = 11,      /* bits that one pass of the sort looks at */
    RADIX = 1 << DIGIT,
    ALIGNMENT = 64
};

/* A token on its way through the sort. */
typedef struct ranked {
    uint32_t descending; /* smaller for larger scores */
    int32_t token;
} ranked;

/* Scratch, all sized by the vocabulary. */
typedef struct workspace {
    float *scores;    /* logits after mask, bias and penalties */
    float *maxima;    /* of each group */
    double *portions; /* sum of the weights of each portion */
    float *weights;   /* of ranked tokens */
    ranked *order;    /* ranked tokens, best first */
    ranked *spare;    /* the other side of the sort */
    size_t bytes;
} workspace;

/* What one pass over the scores finds. */
typedef struct summary {
    float largest;
    int32_t best;   /* the lowest token with the largest score */
    int32_t reason; /* 0, or why there is none */
} summary;

static int32_t ceil_div(int32_t a, int32_t b) { return (a + b - 1) / b; }
static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* Takes `bytes` at *next, and moves it on to the next aligned place. */
static void *carve(uintptr_t *next, size_t bytes)
{
    void *place = (void *)*next;
    *next += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return place;
}

static workspace lay_out(uintptr_t base, int32_t vocabulary)
{
    const size_t n = (size_t)vocabulary;
    uintptr_t next = base;
    workspace w;
    w.scores = carve(&next, n * sizeof(float));
    w.maxima = carve(&next, (n / GROUP + 1) * sizeof(float));
    w.portions = carve(&next, (n / PORTION + 1) * sizeof(double));
    w.weights = carve(&next, n * sizeof(float));
    w.order = carve(&next, n * sizeof(ranked));
    w.spare = carve(&next, n * sizeof(ranked));
    w.bytes = next - base;
    return w;
}

/* ---- random numbers ------------------------------------------------------------------------ */

/* Philox 4x32-10 (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011):
 * the first two words for this key and counter. */
static uint64_t philox(uint64_t key, uint64_t counter)
{
    const uint64_t multiply_a = 0xD2511F53u, multiply_b = 0xCD9E8D57u;
    const uint32_t weyl_a = 0x9E3779B9u, weyl_b = 0xBB67AE85u;
    uint32_t key_a = (uint32_t)key, key_b = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
    for (int round = 0; round < 10; round++) {
        const uint64_t a = multiply_a * c0, b = multiply_b * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key_a;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key_b;
        c3 = (uint32_t)a;
        key_a += weyl_a;
        key_b += weyl_b;
    }
    return (uint64_t)c0 << 32 | c1;
}

/* Uniform in [0, 1), 53 bits. */
static double uniform(uint64_t seed, int64_t position)
{
    return (double)(philox(seed, (uint64_t)position) >> 11) * 0x1p-53;
}

/* ---- passes over the vocabulary ------------------------------------------------------------ */

/* Maximum of up to GROUP scores; counts those that are NaN or +infinity. */
static float group_maximum(const float *scores, int32_t n, int32_t *wrong)
{
    float lane[LANES];
    int32_t bad[LANES];
    for (int l = 0; l < LANES; l++) {
        lane[l] = -FK_INF;
        bad[l] = 0;
    }
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            const float x = scores[i + l];
            lane[l] = x > lane[l] ? x : lane[l];
            bad[l] |= !(x < FK_INF);
        }
    for (int l = 0; i + l < n; l++) {
        const float x = scores[i + l];
        lane[l] = x > lane[l] ? x : lane[l];
        bad[l] |= !(x < FK_INF);
    }
    float largest = -FK_INF;
    for (int l = 0; l < LANES; l++) {
        largest = lane[l] > largest ? lane[l] : largest;
        *wrong |= bad[l];
    }
    return largest;
}

static summary summarise(const float *scores, int32_t vocabulary, float *maxima)
{
    summary s = {-FK_INF, 0, 0};
    int32_t wrong = 0, best_group = 0;
    for (int32_t g = 0, start = 0; start < vocabulary; g++, start += GROUP) {
        maxima[g] = group_maximum(scores + start, smaller(GROUP, vocabulary - start), &wrong);
        if (maxima[g] > s.largest) {
            s.largest = maxima[g];
            best_group = g;
        }
    }
    if (wrong)
        s.reason = FK_LOGITS_NOT_FINITE;
    else if (s.largest == -FK_INF)
        s.reason = FK_NOTHING_ALLOWED;
    else
        for (s.best = best_group * GROUP; scores[s.best] != s.largest;) s.best++;
    return s;
}

static float weight(float score, float largest, float coldness)
{
    return fk_exp((score - largest) * coldness);
}

/* Sum of the weights of the vocabulary, and of each portion of it. */
static double total_weight(const float *scores, int32_t vocabulary, float largest, float coldness,
                           double *portions)
{
    double total = 0.0;
    for (int32_t p = 0, start = 0; start < vocabulary; p++, start += PORTION) {
        const int32_t n = smaller(PORTION, vocabulary - start);
        const float *s = scores + start;
        float lane[LANES] = {0};
        int32_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += weight(s[i + l], largest, coldness);
        for (int l = 0; i + l < n; l++) lane[l] += weight(s[i + l], largest, coldness);
        portions[p] = (double)fk_tree_sum(lane);
        total += portions[p];
    }
    return total;
}

/* ---- the best tokens in order -------------------------------------------------------------- */

/* Unsigned integers in the order of floats reversed; -0 and +0 are equal. */
static uint32_t descending_key(float score)
{
    const uint32_t bits = fk_bits(score + 0.0f);
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

/* Stable radix sort of w->order by descending score, so equals stay in order of token. */
static void sort_ranked(workspace *w, int32_t n)
{
    for (int shift = 0; shift < 32; shift += DIGIT) {
        int32_t place[RADIX] = {0};
        for (int32_t i = 0; i < n; i++) place[w->order[i].descending >> shift & (RADIX - 1)]++;
        if (n == 0 || place[w->order[0].descending >> shift & (RADIX - 1)] == n) continue;
        int32_t before = 0;
        for (int d = 0; d < RADIX; d++) {
            const int32_t count = place[d];
            place[d] = before;
            before += count;
        }
        for (int32_t i = 0; i < n; i++)
            w->spare[place[w->order[i].descending >> shift & (RADIX - 1)]++] = w->order[i];
        ranked *sorted = w->spare;
        w->spare = w->order;
        w->order = sorted;
    }
}

/* A key no better than that of the k-th best token: of k groups, each has one at least as good. */
static uint32_t bound_of_best(workspace *w, int32_t vocabulary, int32_t k)
{
    const int32_t groups = ceil_div(vocabulary, GROUP);
    if (k > groups) return UINT32_MAX;
    for (int32_t g = 0; g < groups; g++) w->order[g] = (ranked){descending_key(w->maxima[g]), g};
    sort_ranked(w, groups);
    return w->order[k - 1].descending;
}

/* Puts all tokens down to a key into w->order, best first; returns how many. */
static int32_t rank_down_to(workspace *w, const float *scores, int32_t vocabulary, uint32_t bound)
{
    const int32_t groups = ceil_div(vocabulary, GROUP);
    int32_t n = 0;
    for (int32_t g = 0; g < groups; g++) {
        if (descending_key(w->maxima[g]) > bound) continue;
        const int32_t end = smaller((g + 1) * GROUP, vocabulary);
        for (int32_t token = g * GROUP; token < end; token++) {
            const uint32_t key = descending_key(scores[token]);
            if (key <= bound) w->order[n++] = (ranked){key, token};
        }
    }
    sort_ranked(w, n);
    return n;
}

/* ---- the steps ----------------------------------------------------------------------------- */

static int changes_scores(const fk_sampling *s)
{
    return s->allowed || s->n_biases > 0 ||
           (s->n_seen > 0 && (s->repetition_penalty != 1.0f || s->presence_penalty != 0.0f ||
                              s->frequency_penalty != 0.0f));
}

/* Copies up to WORD logits, those whose bit is not set as -infinity. */
static void copy_allowed(uint32_t word, const float *logits, int32_t n, float *scores)
{
    for (int t = 0; t < n; t++) scores[t] = word & (uint32_t)1 << t ? logits[t] : -FK_INF;
}

/* The same for the vocabulary. Most words of most masks are empty: their logits are not read. */
static void copy_masked(const fk_sampling *s, const float *logits, int32_t vocabulary,
                        float *scores)
{
    for (int32_t w = 0, start = 0; start < vocabulary; w++, start += WORD) {
        const uint32_t word = w < s->n_words ? s->allowed[w] : 0;
        const int32_t n = smaller(WORD, vocabulary - start);
        if (word == 0)
            for (int32_t t = 0; t < n; t++) scores[start + t] = -FK_INF;
        else if (n == WORD)
            copy_allowed(word, logits + start, WORD, scores + start);
        else
            copy_allowed(word, logits + start, n, scores + start);
    }
}

static void change_scores(const fk_sampling *s, const float *logits, int32_t vocabulary,
                          float *scores)
{
    if (s->allowed)
        copy_masked(s, logits, vocabulary, scores);
    else
        memcpy(scores, logits, (size_t)vocabulary * sizeof(float));
    for (int32_t i = 0; i < s->n_biases; i++) scores[s->bias_tokens[i]] += s->bias_values[i];
    for (int32_t i = 0; i < s->n_seen; i++) {
        float *score = scores + s->seen_tokens[i];
        const float repetition = s->repetition_penalty;
        *score = *score > 0.0f ? *score / repetition : *score * repetition;
        if (s->seen_outputs[i] > 0) {
            *score -= s->frequency_penalty * (float)s->seen_outputs[i];
            *score -= s->presence_penalty;
        }
    }
}

static int bounds_rank(const fk_sampling *s, int32_t vocabulary)
{
    return s->top_k > 0 && s->top_k < vocabulary;
}

/* Draws from the whole vocabulary, walked in order of token. */
static int32_t draw_from_all(workspace *w, const float *scores, int32_t vocabulary, float largest,
                             float coldness, double u)
{
    double left = u * total_weight(scores, vocabulary, largest, coldness, w->portions);
    int32_t start = 0;
    for (int32_t p = 0; start < vocabulary - PORTION; p++, start += PORTION) {
        if (left < w->portions[p]) break;
        left -= w->portions[p];
    }
    /* A portion's sum and its terms one by one may differ in the last bits: should the terms
     * run out first, the next token with any weight is taken, or else the one before. */
    int32_t last = -1;
    for (int32_t token = start; token < vocabulary; token++) {
        const double mass = (double)weight(scores[token], largest, coldness);
        if (mass == 0.0) continue;
        last = token;
        left -= mass;
        if (left < 0.0) return token;
    }
    for (int32_t token = start; last < 0; token--)
        if (weight(scores[token], largest, coldness) > 0.0f) last = token;
    return last;
}

/* A key no better than that of any token that top-p and min-p keep of the whole vocabulary. */
static uint32_t bound_of_kept(const fk_sampling *s, int32_t vocabulary, float largest,
                              double total)
{
    /* All tokens below half the average weight of what top-p may drop are less than that. */
    const float droppable = (float)((1.0 - (double)s->top_p) * total / vocabulary * 0.5);
    const float floor = s->min_p > droppable ? s->min_p : droppable;
    const float rounding = 0.01f;
    return descending_key(largest + s->temperature * (fk_log(floor) - rounding));
}

/* How many of the n ranked tokens top-p and min-p keep; n if the cut is not among them.
 * `total` is what top-p is a share of. Fills w->weights. */
static int32_t count_kept(workspace *w, const fk_sampling *s, const float *scores, int32_t n,
                          float largest, float coldness, double total)
{
    const double enough = (double)s->top_p * total;
    double sum = 0.0;
    int32_t kept = 0;
    while (kept < n && !(s->top_p < 1.0f && kept > 0 && sum >= enough)) {
        w->weights[kept] = weight(scores[w->order[kept].token], largest, coldness);
        if (kept > 0 && w->weights[kept] < s->min_p) break;
        sum += (double)w->weights[kept++];
    }
    return kept;
}

/* Draws from what top-k, top-p and min-p keep, walked from the best down. */
static int32_t draw_from_best(workspace *w, const fk_sampling *s, const float *scores,
                              int32_t vocabulary, float largest, float coldness, double u)
{
    const int bounded = bounds_rank(s, vocabulary);
    uint32_t bound = bound_of_best(w, vocabulary, bounded ? s->top_k : FIRST_TRY), last_bound;
    double total = 0.0;
    if (bounded) {
        last_bound = bound;
    } else {
        if (s->top_p < 1.0f)
            total = total_weight(scores, vocabulary, largest, coldness, w->portions);
        last_bound = bound_of_kept(s, vocabulary, largest, total);
        bound = bound < last_bound ? bound : last_bound;
    }

    int32_t kept;
    for (;; bound = last_bound) {
        int32_t ranks = rank_down_to(w, scores, vocabulary, bound);
        if (bounded) {
            ranks = s->top_k;
            for (int32_t r = 0; r < ranks; r++)
                total += (double)weight(scores[w->order[r].token], largest, coldness);
        }
        kept = count_kept(w, s, scores, ranks, largest, coldness, total);
        if (kept < ranks || bound == last_bound) break;
    }

    double sum = 0.0;
    for (int32_t r = 0; r < kept; r++) sum += (double)w->weights[r];
    double left = u * sum;
    int32_t last = w->order[0].token;
    for (int32_t r = 0; r < kept && w->weights[r] > 0.0f; r++) {
        last = w->order[r].token;
        left -= (double)w->weights[r];
        if (left < 0.0) break;
    }
    return last;
}

static int32_t choose(workspace *w, const fk_sampling *s, const float *scores, int32_t vocabulary,
                      const summary *found, int64_t position)
{
    if (s->temperature == 0.0f) return found->best;
    const float coldness = 1.0f / s->temperature;
    const double u = uniform(s->seed, position);
    if (bounds_rank(s, vocabulary) || s->top_p < 1.0f || s->min_p > 0.0f)
        return draw_from_best(w, s, scores, vocabulary, found->largest, coldness, u);
    return draw_from_all(w, scores, vocabulary, found->largest, coldness, u);
}

static int32_t sample_row(workspace *w, const fk_sampling *s, const float *logits,
                          int32_t vocabulary, int64_t position, int32_t row,
                          const fk_chosen *chosen)
{
    summary found = summarise(logits, vocabulary, w->maxima);
    if (found.reason) return found.reason;

    const float largest_logit = found.largest;
    float log_total = 0.0f;
    if (s->top_logprobs >= 0)
        log_total =
            fk_log((float)total_weight(logits, vocabulary, largest_logit, 1.0f, w->portions));
    if (s->top_logprobs > 0) {
        const uint32_t bound = bound_of_best(w, vocabulary, s->top_logprobs);
        const int32_t n = rank_down_to(w, logits, vocabulary, bound);
        int32_t *tokens = chosen->top_tokens + (int64_t)row * chosen->top_width;
        float *logprobs = chosen->top_logprobs + (int64_t)row * chosen->top_width;
        for (int32_t r = 0; r < s->top_logprobs; r++) {
            tokens[r] = r < n ? w->order[r].token : -1;
            logprobs[r] = r < n ? logits[tokens[r]] - largest_logit - log_total : -FK_INF;
        }
    }

    const float *scores = logits;
    if (changes_scores(s)) {
        change_scores(s, logits, vocabulary, w->scores);
        scores = w->scores;
        found = summarise(scores, vocabulary, w->maxima);
        if (found.reason) return found.reason;
    }
    const int32_t token = choose(w, s, scores, vocabulary, &found, position);
    if (s->top_logprobs >= 0)
        chosen->logprobs[row] = logits[token] - largest_logit - log_total;
    return token;
}

/* ---- the interface ------------------------------------------------------------------------- */

size_t fk_sample_scratch_bytes(int32_t vocabulary)
{
    return lay_out(0, vocabulary).bytes;
}

size_t fk_sampling_bytes(void) { return sizeof(fk_sampling); }

int32_t fk_sample(const float *logits, int64_t stride, int32_t vocabulary, int32_t rows,
                  const fk_sampling *const *samplings, const int64_t *positions,
                  const fk_chosen *chosen, void *scratch)
{
    int32_t without = 0;
    for (int32_t row = 0; row < rows; row++) {
        workspace w = lay_out((uintptr_t)scratch, vocabulary);
        chosen->tokens[row] = sample_row(&w, samplings[row], logits + row * stride, vocabulary,
                                         positions[row], row, chosen);
        without += chosen->tokens[row] < 0;
    }
    return without;
}
