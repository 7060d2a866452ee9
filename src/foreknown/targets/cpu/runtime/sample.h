/* Chooses the next token of every row of a step: the interface. See sample.c for the meaning. */
#ifndef FK_SAMPLE_H
#define FK_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

/* Instead of a token, in fk_chosen.tokens: why none could be chosen. */
enum {
    FK_LOGITS_NOT_FINITE = -1, /* a logit is NaN or +infinity */
    FK_NOTHING_ALLOWED = -2    /* every logit is -infinity, or its token not allowed */
};

/* How one sequence wants its tokens chosen. Mirrored in engine/native_sampling.py. */
typedef struct fk_sampling {
    uint64_t seed;
    const int32_t *bias_tokens;   /* [n_biases] */
    const float *bias_values;     /* [n_biases] added to the logit; -infinity forbids the token */
    const int32_t *seen_tokens;   /* [n_seen] different tokens of prompt and output */
    const int32_t *seen_outputs;  /* [n_seen] how often each is in the output; 0: prompt only */
    const uint32_t *allowed;      /* [n_words] bit t % 32 of word t / 32; NULL: all may come */
    int32_t n_biases;
    int32_t n_seen;
    int32_t n_words;
    float temperature;            /* 0: greedy */
    float top_p;                  /* 1: off */
    float min_p;                  /* 0: off */
    float repetition_penalty;     /* 1: off */
    float presence_penalty;       /* 0: off */
    float frequency_penalty;      /* 0: off */
    int32_t top_k;                /* 0: off */
    int32_t top_logprobs;         /* -1: no log-probabilities; n: the token's own and the n best */
} fk_sampling;

/* Where the choices go. */
typedef struct fk_chosen {
    int32_t *tokens;      /* [rows] a token, or one of the reasons above */
    float *logprobs;      /* [rows] written if top_logprobs >= 0 */
    int32_t *top_tokens;  /* [rows][top_width] best first; -1 past the end of the vocabulary */
    float *top_logprobs;  /* [rows][top_width] */
    int32_t top_width;    /* no row's top_logprobs is larger */
} fk_chosen;

/* Bytes of scratch that fk_sample needs, 64-byte aligned; and of one fk_sampling. */
#pragma GCC visibility push(default)
size_t fk_sample_scratch_bytes(int32_t vocabulary);
size_t fk_sampling_bytes(void);

/* Returns how many rows got no token. `stride` is the distance of two rows of logits in floats;
 * `positions` are those of the chosen tokens in their sequences. */
int32_t fk_sample(const float *logits, int64_t stride, int32_t vocabulary, int32_t rows,
                  const fk_sampling *const *samplings, const int64_t *positions,
                  const fk_chosen *chosen, void *scratch);
#pragma GCC visibility pop

#endif
