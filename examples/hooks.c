/* hooks: memory from functions of your own, and the library's log in a place of your choice.
 *
 * New here: xlstm_set_allocator(), xlstm_set_log(), and what a clean failure looks like when memory ends.
 * To see: how much a small model takes, that running takes nothing, and that everything is given back. */
#include "programs/program.h"

/* A budget: gives no more than `limit` bytes at a time, and counts. The size stands in front of each block.
 */
typedef struct {
    size_t limit, used, peak;
    int calls;
} budget;

static void *budget_alloc(void *context, size_t bytes) {
    budget *b = context;
    b->calls++;
    if (bytes > b->limit - b->used)
        return NULL;
    size_t *block = malloc(sizeof *block + bytes);
    if (!block)
        return NULL;
    *block = bytes;
    b->used += bytes;
    b->peak = b->used > b->peak ? b->used : b->peak;
    return block + 1;
}

static void budget_free(void *context, void *block) {
    budget *b = context;
    size_t *start = (size_t *)block - 1;
    b->used -= *start;
    free(start);
}

static void print_log(void *context, xlstm_log_level level, const char *sentence) {
    (void)context;
    printf("  %s: %s\n", level == XLSTM_LOG_WARNING ? "warning" : "log", sentence);
}

int main(void) {
    program_begin();
    budget memory = {.limit = 64 << 20};
    xlstm_config config;
    xlstm_module *model;
    xlstm_session *session;
    xlstm_set_log(print_log, NULL);
    check(xlstm_set_allocator(budget_alloc, budget_free, &memory));

    xlstm_config_init(&config, XLSTM_MLSTM);
    config.vocab_size = 256;
    config.embedding_dim = 64;
    config.num_blocks = 2;
    check(xlstm_model_create(&model, &config, 1));
    check(xlstm_session_create(&session, model, 1, 0));
    printf("a model and a session: %zu bytes in %d pieces\n", memory.used, memory.calls);

    int calls = memory.calls;
    int32_t token = 1;
    for (int t = 0; t < 100; t++)
        check(xlstm_session_tokens(session, &token, 1, NULL));
    int quiet = memory.calls == calls;
    printf("100 tokens later: %d further pieces\n", memory.calls - calls);
    xlstm_session_free(session);

    memory.limit = memory.used + 1000; /* as if memory were full now */
    xlstm_status status = xlstm_session_create(&session, model, 1, 0);
    int clean = status == XLSTM_E_MEMORY && !session;
    printf("with hardly any left: \"%s\"\n", xlstm_last_error());
    xlstm_module_free(model);
    printf("at the end %zu bytes are in use, at most it was %zu\n", memory.used, memory.peak);
    return quiet && clean && memory.used == 0 ? 0 : 1;
}
