/* A program's own memory and log: everything comes from its functions and goes back to them, and it is told
 * what is made and opened. */
#include "programs/compare.h"
#include "xlstm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { B = 2, T = 6, V = 11 };

/* As unhelpful as it may be: blocks at odd addresses, full of ones, and one of them can be refused. */
typedef struct {
    long blocks, bytes, calls, refuse; /* refuse: the call that gets NULL; 0: none */
} pool;

static void *pool_alloc(void *context, size_t bytes) {
    pool *p = context;
    assert_true(bytes > 0);
    if (++p->calls == p->refuse)
        return NULL;
    char *block = malloc(bytes + sizeof(size_t) + 1);
    assert_non_null(block);
    memset(block, 0xff, bytes + sizeof(size_t) + 1);
    memcpy(block + 1, &bytes, sizeof bytes);
    p->blocks++;
    p->bytes += (long)bytes;
    return block + 1 + sizeof(size_t);
}

static void pool_free(void *context, void *block) {
    pool *p = context;
    size_t bytes;
    char *start = (char *)block - sizeof(size_t) - 1;
    memcpy(&bytes, start + 1, sizeof bytes);
    p->blocks--;
    p->bytes -= (long)bytes;
    memset(start, 0xff, bytes + sizeof(size_t) + 1);
    free(start);
}

static xlstm_config model_config(void) {
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_MLSTM);
    c.block_kind[1] = XLSTM_SLSTM;
    c.embedding_dim = 12;
    c.num_heads = 2;
    c.vocab_size = V;
    return c;
}

typedef struct {
    xlstm_module *model, *loaded;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
    xlstm_session *session;
    xlstm_sampler *sampler;
    xlstm_tokenizer *tokenizer;
    char dir[32];
} handles;

static xlstm_status make(handles *h) {
    xlstm_config config = model_config();
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    xlstm_sampling sampling;
    xlstm_status status;
    xlstm_trainer_config_init(&how);
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    xlstm_sampling_init(&sampling);
    how.batch = B, how.time = T, how.carry_state = 1;
    (void)((status = xlstm_model_create(&h->model, &config, 1)) ||
           (status = xlstm_trainer_create(&h->trainer, h->model, &how)) ||
           (status = xlstm_optimizer_create(&h->optimizer, h->model, &adamw)) ||
           (status = xlstm_module_save(h->model, h->dir)) ||
           (status = xlstm_module_load_as(&h->loaded, h->dir, XLSTM_WEIGHTS_INT8)) ||
           (status = xlstm_session_create(&h->session, h->loaded, B, 4)) ||
           (status = xlstm_sampler_create(&h->sampler, &sampling, V)) ||
           (status = xlstm_tokenizer_from_text(&h->tokenizer, "a b a c", 7)));
    return status;
}

static void unmake(handles *h) {
    xlstm_session_free(h->session);
    xlstm_sampler_free(h->sampler);
    xlstm_tokenizer_free(h->tokenizer);
    xlstm_module_free(h->loaded);
    xlstm_optimizer_free(h->optimizer);
    xlstm_trainer_free(h->trainer);
    xlstm_module_free(h->model);
    h->session = NULL, h->sampler = NULL, h->tokenizer = NULL, h->loaded = NULL, h->optimizer = NULL;
    h->trainer = NULL, h->model = NULL;
}

static handles in_new_folder(void) {
    handles h = {.dir = "hooks_XXXXXX"};
    assert_non_null(mkdtemp(h.dir));
    return h;
}

static void remove_folder(const handles *h) {
    static const char *const files[] = {"config.json", "weights.safetensors"};
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", h->dir, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(h->dir), 0);
}

static void run(const handles *h, xlstm_real logits[B * V], xlstm_loss *loss) {
    int32_t tokens[B * T];
    for (int i = 0; i < B * T; i++)
        tokens[i] = i * i % V;
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = tokens};
    for (int step = 0; step < 3; step++) {
        assert_int_equal(xlstm_trainer_backward(h->trainer, &batch, loss), XLSTM_OK);
        assert_int_equal(xlstm_optimizer_step(h->optimizer, h->trainer, 1e-2f, NULL), XLSTM_OK);
    }
    assert_int_equal(xlstm_session_prompt(h->session, tokens, T, logits), XLSTM_OK);
    int32_t token;
    assert_int_equal(xlstm_sampler_pick(h->sampler, logits, &token), XLSTM_OK);
}

static void test_own_memory(void **state) {
    (void)state;
    pool p = {0};
    handles h = in_new_folder();
    xlstm_real usual[B * V], own[B * V];
    xlstm_loss usual_loss, own_loss;
    assert_int_equal(make(&h), XLSTM_OK);
    run(&h, usual, &usual_loss);
    assert_int_equal(xlstm_set_allocator(pool_alloc, pool_free, &p), XLSTM_E_ARGUMENT); /* too late */
    unmake(&h);
    assert_int_equal(xlstm_set_allocator(pool_alloc, NULL, &p), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_set_allocator(NULL, pool_free, &p), XLSTM_E_ARGUMENT);

    assert_int_equal(xlstm_set_allocator(pool_alloc, pool_free, &p), XLSTM_OK);
    assert_int_equal(make(&h), XLSTM_OK);
    long calls = p.calls;
    assert_true(p.blocks > 20);
    xlstm_trainer_memory m = xlstm_trainer_memory_of(h.trainer);
    assert_true(p.bytes > (long)(m.tape + m.temporary + m.gradients + m.state));
    run(&h, own, &own_loss);
    assert_int_equal(p.calls, calls); /* running takes none */
    assert_true(same_numbers(own, usual, B * V));
    assert_true(own_loss.sum == usual_loss.sum && own_loss.mean == usual_loss.mean &&
                own_loss.count == usual_loss.count);
    assert_int_equal(xlstm_set_allocator(NULL, NULL, NULL), XLSTM_E_ARGUMENT);
    unmake(&h);
    assert_int_equal(p.blocks, 0);
    assert_int_equal(p.bytes, 0);
    assert_int_equal(xlstm_set_allocator(NULL, NULL, NULL), XLSTM_OK);
    remove_folder(&h);
}

/* Each allocation refused in turn: a status, and everything goes back. */
static void test_refused(void **state) {
    (void)state;
    pool p = {0};
    handles h = in_new_folder();
    assert_int_equal(xlstm_set_allocator(pool_alloc, pool_free, &p), XLSTM_OK);
    for (p.refuse = 1;; p.refuse++) {
        p.calls = 0;
        xlstm_status status = make(&h);
        unmake(&h);
        assert_int_equal(p.blocks, 0);
        if (p.calls < p.refuse) {
            assert_int_equal(status, XLSTM_OK);
            break;
        }
        if (status != XLSTM_E_MEMORY)
            fail_msg("allocation %ld was refused, yet the status is %s", p.refuse, xlstm_status_name(status));
    }
    assert_true(p.refuse > 50);
    assert_int_equal(xlstm_set_allocator(NULL, NULL, NULL), XLSTM_OK);
    remove_folder(&h);
}

typedef struct {
    char text[4096];
    int sentences, warnings;
} protocol;

static void note(void *context, xlstm_log_level level, const char *sentence) {
    protocol *p = context;
    size_t n = strlen(p->text);
    assert_null(strchr(sentence, '\n'));
    snprintf(p->text + n, sizeof p->text - n, "%s\n", sentence);
    p->sentences++;
    p->warnings += level == XLSTM_LOG_WARNING && !strstr(sentence, "OpenBLAS"); /* which may be old */
}

static void test_log(void **state) {
    (void)state;
    static const char *const parts[] = {
        "module: ",      "trainer: 2 x 6 tokens", "optimizer: ",         "session: 2 streams",
        "kernels cpu, ", "mapped hooks_",         "weights.safetensors", " products"};
    protocol p = {.text = ""};
    handles h = in_new_folder();
    xlstm_real logits[B * V];
    xlstm_loss loss;
    xlstm_set_log(note, &p);
    assert_int_equal(make(&h), XLSTM_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(p.text, parts[i]))
            fail_msg("nothing was said of \"%s\" in:\n%s", parts[i], p.text);
    int sentences = p.sentences;
    run(&h, logits, &loss);
    assert_int_equal(p.sentences, sentences);
    assert_int_equal(p.warnings, 0);

    int threads = xlstm_get_threads();
    xlstm_set_threads(XLSTM_MAX_THREADS);
    xlstm_set_threads(threads);
    assert_true(p.warnings >= 1);
    xlstm_set_log(NULL, NULL);
    sentences = p.sentences;
    unmake(&h);
    assert_int_equal(make(&h), XLSTM_OK);
    assert_int_equal(p.sentences, sentences);
    unmake(&h);
    remove_folder(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_memory), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_log)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
