/* fragment.h - what statements on the pages may use without having declared it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xlstm.h>

/* What a program does about an error: here it says so. */
static inline int fail(void) {
    return puts(xlstm_last_error()), 1;
}

enum { B = 4, T = 32, V = 100, D = 64 }; /* streams, tokens, vocabulary, width */

#define STATEMENTS                                                                                           \
    int statements(xlstm_config config, xlstm_module *model, xlstm_session *session, xlstm_trainer *trainer, \
                   xlstm_optimizer *optimizer, xlstm_tokenizer *tokenizer, xlstm_sampler *sampler,           \
                   xlstm_batch batch, xlstm_loss loss, int32_t *tokens, int32_t *targets,                    \
                   xlstm_real *vectors, xlstm_real *logits);                                                 \
    int statements(xlstm_config config, xlstm_module *model, xlstm_session *session, xlstm_trainer *trainer, \
                   xlstm_optimizer *optimizer, xlstm_tokenizer *tokenizer, xlstm_sampler *sampler,           \
                   xlstm_batch batch, xlstm_loss loss, int32_t *tokens, int32_t *targets,                    \
                   xlstm_real *vectors, xlstm_real *logits)
