/** @file
 * An inference timeline: B streams that advance together over a read-only module.
 */
#ifndef XLSTM_SESSION_H
#define XLSTM_SESSION_H

#include "xlstm/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @param streams B >= 1
 *  @param max_tokens longest piece computed at once; longer calls are cut into such pieces. 0: 64
 *  The module is borrowed and must outlive the session. All memory is taken here; running takes none. */
XLSTM_API xlstm_status xlstm_session_create(xlstm_session **out, const xlstm_module *module, int streams,
                                            int max_tokens);
XLSTM_API void xlstm_session_free(xlstm_session *session);

/** Advances every stream by `time` tokens (any number >= 1; one at a time gives the same numbers).
 *  @param tokens [B, time], each in 0 .. vocab_size-1
 *  @param logits [B, time, vocab_size], or NULL: only the state moves
 *  @return XLSTM_E_ARGUMENT when a token is out of range: nothing has moved then */
XLSTM_API xlstm_status xlstm_session_tokens(xlstm_session *session, const int32_t *tokens, int time,
                                            xlstm_real *logits);
/** The same for modules over vectors. @param inputs [B, time, input_dim] @param outputs [B, time, output_dim]
 * or NULL */
XLSTM_API xlstm_status xlstm_session_vectors(xlstm_session *session, const xlstm_real *inputs, int time,
                                             xlstm_real *outputs);
/** As xlstm_session_tokens(), but keeps only the last token's logits. @param logits [B, vocab_size] */
XLSTM_API xlstm_status xlstm_session_prompt(xlstm_session *session, const int32_t *tokens, int time,
                                            xlstm_real *logits);

/** Puts one stream (or all, stream = -1) back to the beginning. */
XLSTM_API xlstm_status xlstm_session_reset(xlstm_session *session, int stream);
/** A second session over the same module with a copy of the state. */
XLSTM_API xlstm_status xlstm_session_fork(xlstm_session **out, const xlstm_session *session);
/** The state of one stream is this many numbers; get and set copy it. */
XLSTM_API size_t xlstm_session_state_size(const xlstm_session *session);
XLSTM_API xlstm_status xlstm_session_get_state(const xlstm_session *session, int stream, xlstm_real *state);
XLSTM_API xlstm_status xlstm_session_set_state(xlstm_session *session, int stream, const xlstm_real *state);

#ifdef __cplusplus
}
#endif

#endif
