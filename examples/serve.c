/* serve: one model, many threads, each with streams of its own.
 *
 * New here: sessions in several threads over one module, which is only read; xlstm_set_threads(1), because
 * the parallel work is here between the clients and not inside a call; one stream of a running batch reset;
 * the sampler. To see: every client gets the same text as if it were alone. */
#include "programs/program.h"
#include <pthread.h>

enum { CLIENTS = 6, STREAMS = 2, TOKENS = 200, VOCABULARY = 256 };

typedef struct {
    const xlstm_module *model;
    uint64_t seed;
    int32_t text[STREAMS][TOKENS];
    double seconds;
} client;

/* Two streams that advance together; in the middle the second conversation ends and another begins in its
 * place. */
static void *serve(void *context) {
    client *c = context;
    xlstm_session *session;
    xlstm_sampler *sampler;
    xlstm_sampling how;
    xlstm_real *logits = need(STREAMS * VOCABULARY * sizeof *logits);
    double started = now();
    xlstm_sampling_init(&how);
    how.temperature = 0.8f;
    how.top_k = 40;
    how.seed = c->seed;
    check(xlstm_session_create(&session, c->model, STREAMS, 1));
    check(xlstm_sampler_create(&sampler, &how, VOCABULARY));
    int32_t token[STREAMS] = {'a', 'b'};
    for (int t = 0; t < TOKENS; t++) {
        if (t == TOKENS / 2) {
            check(xlstm_session_reset(session, 1));
            token[1] = 'c';
        }
        check(xlstm_session_tokens(session, token, 1, logits));
        for (int s = 0; s < STREAMS; s++) {
            check(xlstm_sampler_pick(sampler, logits + s * VOCABULARY, &token[s]));
            c->text[s][t] = token[s];
        }
    }
    xlstm_sampler_free(sampler);
    xlstm_session_free(session);
    free(logits);
    c->seconds = now() - started;
    return NULL;
}

int main(void) {
    program_begin();
    static client alone[CLIENTS], together[CLIENTS];
    pthread_t threads[CLIENTS];
    xlstm_config config;
    xlstm_module *model;
    xlstm_config_init(&config, XLSTM_MLSTM);
    config.vocab_size = VOCABULARY;
    config.embedding_dim = 64;
    config.num_blocks = 4;
    check(xlstm_config_mix(&config, "3:1"));
    check(xlstm_model_create(&model, &config, 1));
    check(xlstm_set_threads(1));

    double started = now(), one_by_one;
    for (int i = 0; i < CLIENTS; i++) {
        alone[i] = together[i] = (client){.model = model, .seed = (uint64_t)i + 1};
        serve(&alone[i]);
    }
    one_by_one = now() - started;
    started = now();
    for (int i = 0; i < CLIENTS; i++)
        if (pthread_create(&threads[i], NULL, serve, &together[i]))
            die("no thread could be started");
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    double at_once = now() - started;

    int same = 1;
    for (int i = 0; i < CLIENTS; i++) {
        int equal = memcmp(alone[i].text, together[i].text, sizeof alone[i].text) == 0;
        printf("client %d: %d tokens in %.2f s, %s\n", i + 1, STREAMS * TOKENS, together[i].seconds,
               equal ? "the same as alone" : "NOT the same as alone");
        same &= equal;
    }
    printf("%d clients one by one: %.2f s, at once: %.2f s\n", CLIENTS, one_by_one, at_once);
    xlstm_module_free(model);
    return same ? 0 : 1;
}
