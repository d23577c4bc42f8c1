/* Sampling against probabilities worked out by hand, and generation against a loop of single steps. */
#include "base/mem.h"
#include "programs/compare.h"
#include "support/kinds.h"
#include "support/random.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { V = 8, DRAWS = 40000 };

/* Probabilities 0.4, 0.2, 0.16, 0.1, 0.06, 0.04, 0.03, 0.01, in another order of tokens. */
static const double probability[V] = {0.1, 0.4, 0.03, 0.16, 0.01, 0.2, 0.06, 0.04};

static void logits_of(xlstm_real *logits) {
    for (int i = 0; i < V; i++)
        logits[i] = (xlstm_real)(log(probability[i]) + 3);
}

static void count_draws(const xlstm_sampling *rule, int counts[V]) {
    xlstm_sampler *s;
    xlstm_real logits[V];
    logits_of(logits);
    memset(counts, 0, V * sizeof *counts);
    assert_int_equal(xlstm_sampler_create(&s, rule, V), XLSTM_OK);
    for (int i = 0; i < DRAWS; i++) {
        int32_t token;
        assert_int_equal(xlstm_sampler_pick(s, logits, &token), XLSTM_OK);
        counts[token]++;
    }
    xlstm_sampler_free(s);
}

static void test_frequencies(void **state) {
    (void)state;
    static const struct {
        float temperature, top_p, min_p;
        int top_k;
        double left[V]; /* unnormalised */
    } cases[] = {
        {1, 1, 0, 0, {0.1, 0.4, 0.03, 0.16, 0.01, 0.2, 0.06, 0.04}},
        {1, 1, 0, 3, {0, 0.4, 0, 0.16, 0, 0.2, 0, 0}},
        {1, 0.7f, 0, 0, {0, 0.4, 0, 0.16, 0, 0.2, 0, 0}},
        {1, 0.75f, 0, 3, {0, 0.4, 0, 0, 0, 0.2, 0, 0}}, /* 0.6 of 0.76 is above three quarters */
        {1, 1, 0.2f, 0, {0.1, 0.4, 0, 0.16, 0, 0.2, 0, 0}},
        {1, 0.95f, 0.2f, 0, {0.1, 0.4, 0, 0.16, 0, 0.2, 0, 0}},
        {0.5f, 1, 0, 2, {0, 0.16, 0, 0, 0, 0.04, 0, 0}},
        {2, 1, 0.5f, 0, {0.316228, 0.632456, 0, 0.4, 0, 0.447214, 0, 0}},
        {1, 1, 0.2f, V, {0.1, 0.4, 0, 0.16, 0, 0.2, 0, 0}}, /* top_k leaves all, and nothing is sorted */
        {1, 1, 0.2f, V + 5, {0.1, 0.4, 0, 0.16, 0, 0.2, 0, 0}},
        {1, 1, 0.2f, 3, {0, 0.4, 0, 0.16, 0, 0.2, 0, 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        xlstm_sampling rule;
        int counts[V];
        double all = 0;
        xlstm_sampling_init(&rule);
        rule.temperature = cases[c].temperature;
        rule.top_k = cases[c].top_k;
        rule.top_p = cases[c].top_p;
        rule.min_p = cases[c].min_p - 1e-4f * (cases[c].min_p > 0);
        rule.seed = 17 + c;
        count_draws(&rule, counts);
        for (int i = 0; i < V; i++)
            all += cases[c].left[i];
        for (int i = 0; i < V; i++) {
            double p = cases[c].left[i] / all, spread = sqrt(DRAWS * p * (1 - p));
            if (!is_near(counts[i], DRAWS * p, 4.5 * spread))
                fail_msg("case %zu: token %d came %d times, not %g", c, i, counts[i], DRAWS * p);
        }
    }
}

/* Logits of -infinity leave fewer candidates than top_k asks for. */
static void test_min_p_with_few_candidates(void **state) {
    (void)state;
    static const xlstm_real logits[V] = {0, -1, -2, -3, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    xlstm_sampling rule;
    xlstm_sampler *s;
    xlstm_sampling_init(&rule);
    rule.min_p = 0.5f;
    for (rule.top_k = 0; rule.top_k <= V; rule.top_k++) {
        assert_int_equal(xlstm_sampler_create(&s, &rule, V), XLSTM_OK);
        for (int i = 0; i < 50; i++) {
            int32_t token;
            assert_int_equal(xlstm_sampler_pick(s, logits, &token), XLSTM_OK);
            assert_int_equal(token, 0);
        }
        xlstm_sampler_free(s);
    }
}

static void test_bad_input(void **state) {
    (void)state;
    xlstm_sampler *s;
    xlstm_sampling rule, bad;
    int32_t token;
    xlstm_real logits[V] = {1, 3, 3, 2};
    xlstm_sampling_init(&rule);
    bad = rule;
    bad.top_p = 0;
    assert_int_equal(xlstm_sampler_create(&s, &bad, V), XLSTM_E_ARGUMENT);
    bad = rule;
    bad.temperature = NAN;
    assert_int_equal(xlstm_sampler_create(&s, &bad, V), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_sampler_create(&s, NULL, V), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_sampler_create(&s, &rule, 0), XLSTM_E_ARGUMENT);
    assert_null(s);
    rule.temperature = 0;
    assert_int_equal(xlstm_sampler_create(&s, &rule, V), XLSTM_OK);
    assert_int_equal(xlstm_sampler_pick(s, logits, &token), XLSTM_OK);
    assert_int_equal(token, 1); /* the first of the two likeliest */
    logits[7] = NAN;
    assert_int_equal(xlstm_sampler_pick(s, logits, &token), XLSTM_E_NUMERIC);
    for (int i = 0; i < V; i++)
        logits[i] = -INFINITY;
    assert_int_equal(xlstm_sampler_pick(s, logits, &token), XLSTM_E_NUMERIC);
    logits[5] = -40;
    assert_int_equal(xlstm_sampler_pick(s, logits, &token), XLSTM_OK);
    assert_int_equal(token, 5);
    xlstm_sampler_free(s);
}

/* ---- generation ---- */

enum { WORDS = 11, PROMPT = 21, LENGTH = 40 };
static const int32_t prompt[PROMPT] = {1, 4, 2, 8, 5, 7, 3, 3, 0, 10, 9, 1, 4, 2, 8, 5, 7, 3, 3, 0, 10};

typedef struct {
    xlstm_module *m;
    xlstm_session *session;
    xlstm_sampler *sampler;
} speaker;

static speaker make_speaker(uint64_t seed) {
    speaker k;
    xlstm_sampling rule;
    xlstm_config c = small_config(XLSTM_MLSTM);
    c.block_kind[1] = XLSTM_SLSTM;
    assert_int_equal(xlstm_model_create(&k.m, &c, 3), XLSTM_OK);
    jitter(k.m, 0.3, 4);
    assert_int_equal(xlstm_session_create(&k.session, k.m, 1, 8), XLSTM_OK);
    xlstm_sampling_init(&rule);
    rule.seed = seed;
    rule.top_k = 5;
    assert_int_equal(xlstm_sampler_create(&k.sampler, &rule, WORDS), XLSTM_OK);
    return k;
}

static void free_speaker(speaker *k) {
    xlstm_sampler_free(k->sampler);
    xlstm_session_free(k->session);
    xlstm_module_free(k->m);
}

static xlstm_generation whole(int32_t *tokens, int max) {
    return (xlstm_generation){.struct_size = sizeof(xlstm_generation),
                              .prompt = prompt,
                              .prompt_tokens = PROMPT,
                              .max_tokens = max,
                              .tokens = tokens};
}

static void by_hand(speaker *k, int32_t *tokens) {
    xlstm_real logits[WORDS];
    for (int t = 0; t < PROMPT; t++)
        assert_int_equal(xlstm_session_tokens(k->session, &prompt[t], 1, logits), XLSTM_OK);
    for (int t = 0; t < LENGTH; t++) {
        assert_int_equal(xlstm_sampler_pick(k->sampler, logits, &tokens[t]), XLSTM_OK);
        assert_int_equal(xlstm_session_tokens(k->session, &tokens[t], 1, logits), XLSTM_OK);
    }
}

static void test_same_as_steps(void **state) {
    (void)state;
    int32_t want[LENGTH], got[LENGTH], other[LENGTH];
    int made;
    speaker a = make_speaker(5), b = make_speaker(5), c = make_speaker(6);
    by_hand(&a, want);
    xlstm_generation g = whole(got, LENGTH), h = whole(other, LENGTH);
    xl_alloc_fail_at(1); /* generating takes no memory */
    assert_int_equal(xlstm_generate(b.session, b.sampler, &g, &made), XLSTM_OK);
    xl_alloc_fail_at(0);
    assert_int_equal(made, LENGTH);
    assert_memory_equal(want, got, sizeof want);
    assert_int_equal(xlstm_generate(c.session, c.sampler, &h, NULL), XLSTM_OK);
    assert_memory_not_equal(want, other, sizeof want);
    free_speaker(&a);
    free_speaker(&b);
    free_speaker(&c);
}

/* The state afterwards is that of the whole text, so a fork and a saved state go on alike. */
static void test_state_is_of_the_whole_text(void **state) {
    (void)state;
    int32_t tokens[LENGTH];
    xlstm_real want[WORDS], got[WORDS];
    static const int32_t next = 6;
    speaker a = make_speaker(5), b = make_speaker(5);
    by_hand(&a, tokens);
    xlstm_generation g = whole(NULL, LENGTH);
    assert_int_equal(xlstm_generate(b.session, b.sampler, &g, NULL), XLSTM_OK);
    xlstm_session *fork;
    assert_int_equal(xlstm_session_fork(&fork, b.session), XLSTM_OK);
    xlstm_real *saved = malloc(xlstm_session_state_size(fork) * sizeof *saved);
    assert_int_equal(xlstm_session_get_state(fork, 0, saved), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(a.session, &next, 1, want), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(fork, &next, 1, got), XLSTM_OK);
    comparison c = compare_numbers(got, want, WORDS); /* the prompt was read in pieces of another length */
    assert_true(agrees(&c, 1e-4));
    assert_int_equal(xlstm_session_tokens(b.session, &next, 1, want), XLSTM_OK);
    assert_true(same_numbers(want, got, WORDS));
    assert_int_equal(xlstm_session_reset(fork, -1), XLSTM_OK);
    assert_int_equal(xlstm_session_set_state(fork, 0, saved), XLSTM_OK);
    assert_int_equal(xlstm_session_tokens(fork, &next, 1, got), XLSTM_OK);
    assert_true(same_numbers(want, got, WORDS));
    free(saved);
    xlstm_session_free(fork);
    free_speaker(&a);
    free_speaker(&b);
}

typedef struct {
    int32_t tokens[LENGTH];
    int count, last;
} listener;

static int listen(void *user, int32_t token) {
    listener *l = user;
    l->tokens[l->count++] = token;
    return l->count == l->last;
}

static void test_ends(void **state) {
    (void)state;
    int32_t want[LENGTH];
    int made;
    speaker a = make_speaker(5), b = make_speaker(5), c = make_speaker(5);
    by_hand(&a, want);
    listener l = {.last = 7};
    xlstm_generation g = whole(NULL, LENGTH);
    g.callback = listen;
    g.user = &l;
    assert_int_equal(xlstm_generate(b.session, b.sampler, &g, &made), XLSTM_OK);
    assert_int_equal(made, 7);
    assert_memory_equal(want, l.tokens, 7 * sizeof *want);
    int before = 0; /* a stop ends the text where it first comes */
    while (want[before] != want[12])
        before++;
    listener all = {.last = -1};
    g.user = &all;
    g.stops = &want[12];
    g.stop_count = 1;
    assert_int_equal(xlstm_generate(c.session, c.sampler, &g, &made), XLSTM_OK);
    assert_int_equal(made, before);
    assert_int_equal(all.count, before);
    g.prompt_tokens = 0;
    assert_int_equal(xlstm_generate(c.session, c.sampler, &g, &made), XLSTM_E_ARGUMENT);
    static const int32_t beyond = WORDS;
    g = whole(NULL, 3);
    g.prompt = &beyond;
    g.prompt_tokens = 1;
    assert_int_equal(xlstm_generate(c.session, c.sampler, &g, &made), XLSTM_E_ARGUMENT);
    free_speaker(&a);
    free_speaker(&b);
    free_speaker(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_frequencies),
                                       cmocka_unit_test(test_min_p_with_few_candidates),
                                       cmocka_unit_test(test_bad_input),
                                       cmocka_unit_test(test_same_as_steps),
                                       cmocka_unit_test(test_state_is_of_the_whole_text),
                                       cmocka_unit_test(test_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
