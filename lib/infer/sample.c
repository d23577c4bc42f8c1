/* sample.c - a token from logits. All that depends on chance is a function of the seed and of how many were
 * drawn, so a text can be made again. Candidates lie in a heap and are never sorted as a whole: only as many
 * are taken from its top as top_k and top_p need, and of equal ones the lower token goes first. */
#include "xlstm/sample.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/structs.h"
#include "base/real.h"
#include "base/rng.h"
#include "model/module.h"

typedef struct {
    double p; /* relative to the likeliest */
    int32_t token;
} candidate;

struct xlstm_sampler {
    xlstm_sampling rule;
    int vocab;
    uint64_t drawn; /* random numbers so far */
    candidate *heap;
    xlstm_real *logits; /* for xlstm_generate() */
};

XL_GROWING(xlstm_sampling, seed, seed)
XL_GROWING(xlstm_generation, tokens, tokens)

void xlstm_sampling_init_sized(xlstm_sampling *sampling, size_t size) {
    xlstm_sampling s = {.temperature = 1, .top_p = 1, .seed = 1};
    xl_struct_init(sampling, size, &s, sizeof s);
}

static xlstm_status check_rule(const xlstm_sampling *s, int vocab) {
    if (vocab < 1 || vocab > 1 << 24)
        return xl_fail(XLSTM_E_ARGUMENT, "vocab_size is %d; give the number of logits, 1 to %d", vocab,
                       1 << 24);
    if (!(s->temperature >= 0 && s->temperature <= 1e6f))
        return xl_fail(XLSTM_E_ARGUMENT, "temperature is %g; it must be 0 to 1e6", s->temperature);
    if (s->top_k < 0)
        return xl_fail(XLSTM_E_ARGUMENT, "top_k is %d; it must be 0 (all) or more", s->top_k);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return xl_fail(XLSTM_E_ARGUMENT, "top_p is %g; it must be above 0 and at most 1", s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return xl_fail(XLSTM_E_ARGUMENT, "min_p is %g; it must be 0 to 1", s->min_p);
    return XLSTM_OK;
}

xlstm_status xlstm_sampler_create(xlstm_sampler **out, const xlstm_sampling *sampling, int vocab_size) {
    XL_TRY(xl_check_out(out, "xlstm_sampler_create"));
    *out = NULL;
    xlstm_sampling rule = {0};
    XL_TRY(take_xlstm_sampling(&rule, sampling));
    XL_TRY(check_rule(&rule, vocab_size));
    size_t n = vocab_size;
    xlstm_sampler *s = xl_alloc(sizeof *s);
    if (!s)
        return xl_no_memory(sizeof *s, "a sampler");
    *s = (xlstm_sampler){.rule = rule,
                         .vocab = vocab_size,
                         .heap = xl_alloc(n * sizeof *s->heap),
                         .logits = xl_alloc(n * sizeof *s->logits)};
    if (!s->heap || !s->logits) {
        xlstm_sampler_free(s);
        return xl_no_memory(n * (sizeof *s->heap + sizeof *s->logits), "a sampler");
    }
    *out = s;
    return XLSTM_OK;
}

void xlstm_sampler_free(xlstm_sampler *s) {
    if (!s)
        return;
    xl_free(s->heap);
    xl_free(s->logits);
    xl_free(s);
}

static xlstm_status likeliest(const xlstm_sampler *s, const xlstm_real *logits, int32_t *token) {
    int top = -1;
    for (int i = 0; i < s->vocab; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return xl_fail(XLSTM_E_NUMERIC, "logit %d is %g; no token can be chosen", i, logits[i]);
        if (logits[i] > (top < 0 ? -INFINITY : logits[top]))
            top = i;
    }
    if (top < 0)
        return xl_fail(XLSTM_E_NUMERIC, "all logits are -infinity; no token can be chosen");
    *token = top;
    return XLSTM_OK;
}

/* ---- a heap with the likeliest at its top ---- */

static int before(candidate a, candidate b) {
    return a.p > b.p || (a.p == b.p && a.token < b.token);
}

static void sink(candidate *heap, int n, int i) {
    candidate moved = heap[i];
    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], moved))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Moves the likeliest of heap[0 .. n-1] to heap[n-1]. */
static void pop(candidate *heap, int n) {
    candidate top = heap[0];
    heap[0] = heap[n - 1];
    sink(heap, n - 1, 0);
    heap[n - 1] = top;
}

static double sum_of(const candidate *c, int from, int to) {
    double sum = 0;
    for (int i = from; i < to; i++)
        sum += c[i].p;
    return sum;
}

/* Relative to the likeliest, so that no exp() overflows; what comes out as 0 can never be drawn. */
static int gather(xlstm_sampler *s, const xlstm_real *logits, real top, double least) {
    int n = 0;
    for (int i = 0; i < s->vocab; i++) {
        double p = exp(((double)logits[i] - top) / s->rule.temperature);
        if (p > 0 && p >= least)
            s->heap[n++] = (candidate){p, i};
    }
    return n;
}

/* Moves the likeliest to the array's end, in order, until there are k, or until they sum to `enough`; returns
 * where they begin. */
static int select_top(candidate *heap, int n, int k, double enough) {
    int first = n;
    double sum = 0;
    for (int i = n / 2 - 1; i >= 0; i--)
        sink(heap, n, i);
    while (n - first < k && sum < enough) {
        pop(heap, first);
        sum += heap[--first].p;
    }
    return first;
}

/* Applies top_k, top_p, min_p in this order; what stays begins at the returned place. Only where top_p has
 * put the likeliest in order may there be some that are too unlikely: else gather() has left those out. */
static int filter(const xlstm_sampler *s, int n) {
    const xlstm_sampling *r = &s->rule;
    int first = 0;
    if (r->top_k > 0 && r->top_k < n)
        first = select_top(s->heap, n, r->top_k, INFINITY);
    if (r->top_p < 1) /* a sum of doubles may fall short of its own total by rounding; then all stay */
        first += select_top(s->heap + first, n - first, n - first, r->top_p * sum_of(s->heap, first, n));
    while (r->top_p < 1 && first < n - 1 && s->heap[first].p < r->min_p)
        first++;
    return first;
}

xlstm_status xlstm_sampler_pick(xlstm_sampler *s, const xlstm_real *logits, int32_t *token) {
    if (!s || !logits || !token)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_sampler_pick needs a sampler, logits and room for a token");
    XL_TRY(likeliest(s, logits, token));
    if (s->rule.temperature == 0)
        return XLSTM_OK;
    /* min_p may come first, and needs no order, unless top_p is to count what min_p takes away */
    int n = gather(s, logits, logits[*token], s->rule.top_p < 1 ? 0 : s->rule.min_p);
    int first = filter(s, n);
    double u = (xl_hash(s->rule.seed, s->drawn++) >> 11) * 0x1p-53 * sum_of(s->heap, first, n);
    int i = n - 1;
    while (i > first && u >= s->heap[i].p)
        u -= s->heap[i--].p;
    *token = s->heap[i].token;
    return XLSTM_OK;
}

/* ---- generation ---- */

static xlstm_status check_generation(const xlstm_session *session, const xlstm_sampler *s,
                                     const xlstm_generation *g) {
    if (!session || !s || !g->prompt)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_generate needs a session, a sampler, and a generation with a prompt");
    if (g->stop_count < 0 || (g->stop_count && !g->stops))
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_generate: stop_count is %d and stops is %s; give an array of so many, or 0",
                       g->stop_count, g->stops ? "set" : "NULL");
    if (g->prompt_tokens < 1 || g->max_tokens < 1)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_generate needs one token of prompt and one to make at least; got %d and %d",
                       g->prompt_tokens, g->max_tokens);
    int streams, outputs;
    xl_session_shape(session, &streams, &outputs);
    if (streams != 1 || outputs != s->vocab)
        return xl_fail(XLSTM_E_ARGUMENT,
                       "xlstm_generate needs a session of one stream and a sampler for its %d logits; got %d "
                       "streams and a sampler for %d",
                       outputs, streams, s->vocab);
    return XLSTM_OK;
}

static int is_stop(const xlstm_generation *g, int32_t token) {
    for (int i = 0; i < g->stop_count; i++)
        if (g->stops[i] == token)
            return 1;
    return 0;
}

xlstm_status xlstm_generate(xlstm_session *session, xlstm_sampler *s, const xlstm_generation *g, int *made) {
    int count = 0;
    if (made)
        *made = 0;
    xlstm_generation own = {0};
    XL_TRY(take_xlstm_generation(&own, g));
    XL_TRY(check_generation(session, s, g = &own));
    XL_TRY(xlstm_session_prompt(session, g->prompt, g->prompt_tokens, s->logits));
    for (int more = 1; more;) {
        int32_t token;
        XL_TRY(xlstm_sampler_pick(s, s->logits, &token));
        int stop = is_stop(g, token);
        if (!stop && g->tokens)
            g->tokens[count] = token;
        count += !stop;
        if (made)
            *made = count;
        more = !stop && count < g->max_tokens;
        if (!stop && g->callback && g->callback(g->user, token))
            more = 0;
        XL_TRY(xlstm_session_tokens(session, &token, 1, more ? s->logits : NULL));
    }
    return XLSTM_OK;
}
