/** @file
 * Text from logits: choosing tokens, and a loop that streams them.
 */
#ifndef XLSTM_SAMPLE_H
#define XLSTM_SAMPLE_H

#include "xlstm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a token is chosen. Filters work in this order, each on what the ones before it left:
 *  temperature, top_k, top_p, min_p; then one token is drawn by its probability. */
typedef struct xlstm_sampling {
    size_t struct_size; /**< filled by xlstm_sampling_init() */
    float temperature;  /**< logits are divided by it; 0: always the likeliest token */
    int top_k;          /**< only the k likeliest; 0: all */
    float top_p;        /**< only the likeliest whose probabilities together reach this; 1: all */
    float min_p;        /**< only those at least this fraction as likely as the likeliest; 0: all */
    uint64_t seed;      /**< the same seed and logits give the same tokens */
} xlstm_sampling;

/** As xlstm_sampling_init(), of a struct of this size: a later version of the library has more fields.
 *  @param sampling is overwritten
 *  @param size its size, as the caller knows it */
XLSTM_API void xlstm_sampling_init_sized(xlstm_sampling *sampling, size_t size);
/** Fills the defaults: temperature 1, no filters, seed 1.
 *  @param sampling is overwritten */
static inline void xlstm_sampling_init(xlstm_sampling *sampling) {
    xlstm_sampling_init_sized(sampling, sizeof *sampling);
}

/** A rule, its position in its random numbers, and room to sort in. One thread at a time may use it. */
typedef struct xlstm_sampler xlstm_sampler;

/** A sampler. All memory is taken here.
 *  @param out receives the sampler: yours, NULL on failure; free it with xlstm_sampler_free()
 *  @param sampling the rule, which is copied
 *  @param vocab_size V, logits per token
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT for a setting out of range, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_sampler_create(xlstm_sampler **out, const xlstm_sampling *sampling,
                                            int vocab_size);
/** Frees a sampler.
 *  @param sampler may be NULL */
XLSTM_API void xlstm_sampler_free(xlstm_sampler *sampler);

/** Chooses one token. Equally likely ones: the smaller number first.
 *  @param sampler moves on in its random numbers, unless its temperature is 0
 *  @param logits [vocab_size], may hold -infinity for tokens that are not wanted
 *  @param token receives 0 .. vocab_size-1
 *  @return XLSTM_OK; XLSTM_E_NUMERIC when a logit is NaN or +infinity, or all are -infinity; XLSTM_E_ARGUMENT
 * for NULL */
XLSTM_API xlstm_status xlstm_sampler_pick(xlstm_sampler *sampler, const xlstm_real *logits, int32_t *token);

/** Called with each new token.
 *  @param user what xlstm_generation has
 *  @param token the new one
 *  @return 0 to go on; anything else ends the generation */
typedef int xlstm_token_callback(void *user, int32_t token);

/** What xlstm_generate() is to do. Zero it, then set what you have. Arrays are borrowed for the call. */
typedef struct xlstm_generation {
    size_t struct_size;             /**< sizeof(xlstm_generation) */
    const int32_t *prompt;          /**< [prompt_tokens], at least one */
    int prompt_tokens;              /**< tokens in the prompt */
    int max_tokens;                 /**< new tokens at most, >= 1 */
    const int32_t *stops;           /**< [stop_count]: a token that ends the generation; it is not reported */
    int stop_count;                 /**< tokens that stop; 0: none */
    xlstm_token_callback *callback; /**< may be NULL */
    void *user;                     /**< handed to the callback */
    int32_t *tokens;                /**< [max_tokens] receives the new tokens; may be NULL */
} xlstm_generation;

/** Reads the prompt in pieces, then generates token by token. Memory and time per token do not depend on how
 *  long the text is. The session, of one stream, goes on from the state it is in, and has seen the prompt and
 *  every new token afterwards (also one that stopped it), so a further call goes on from there: its prompt is
 *  new text, and a token that is given again is read twice.
 *  @param session of one stream, over a module of tokens
 *  @param sampler for as many logits as the module has
 *  @param generation what to do
 *  @param made receives the number of new tokens; may be NULL
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for a token out of range or a session of several streams: nothing has
 * moved then; XLSTM_E_NUMERIC as xlstm_sampler_pick(), when a token cannot be chosen: session and sampler
 * have moved by then, over the prompt and the *made tokens before it, which are in `tokens` and were reported
 */
XLSTM_API xlstm_status xlstm_generate(xlstm_session *session, xlstm_sampler *sampler,
                                      const xlstm_generation *generation, int *made);

#ifdef __cplusplus
}
#endif

#endif
