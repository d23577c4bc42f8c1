/** @file
 * An inference timeline: B streams that advance together over a read-only module. One thread at a time may
 * use a session; any number of sessions may share a module.
 */
#ifndef XLSTM_SESSION_H
#define XLSTM_SESSION_H

#include "xlstm/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A session whose streams have seen nothing yet. All memory is taken here; running takes none.
 *  @param out receives the session: yours, NULL on failure; free it with xlstm_session_free()
 *  @param module borrowed: it must outlive the session
 *  @param streams B >= 1
 *  @param max_tokens longest piece computed at once; longer calls are cut into such pieces. 0: 64
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_session_create(xlstm_session **out, const xlstm_module *module, int streams,
                                            int max_tokens);
/** Frees a session, not its module.
 *  @param session may be NULL */
XLSTM_API void xlstm_session_free(xlstm_session *session);

/** Advances every stream by `time` tokens (any number >= 1; one at a time gives the same numbers, to
 * rounding). Recurrent blocks go on for ever; a Transformer's count of tokens is exact to 2^24, and from
 * there on its attention forgets: reset the stream before.
 *  @param session over a module of tokens
 *  @param tokens [B, time], each in 0 .. vocab_size-1
 *  @param time tokens of each stream
 *  @param logits [B, time, vocab_size], or NULL: only the state moves
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT when a token is out of range: nothing has moved then */
XLSTM_API xlstm_status xlstm_session_tokens(xlstm_session *session, const int32_t *tokens, int time,
                                            xlstm_real *logits);
/** The same for modules over vectors.
 *  @param session over a module of vectors: a cell, a block, or a model with vocab_size 0
 *  @param inputs [B, time, input_dim]
 *  @param time vectors of each stream
 *  @param outputs [B, time, output_dim], or NULL: only the state moves
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_session_vectors(xlstm_session *session, const xlstm_real *inputs, int time,
                                             xlstm_real *outputs);
/** As xlstm_session_tokens(), but computes only the last token's logits.
 *  @param session over a module of tokens
 *  @param tokens [B, time]
 *  @param time tokens of each stream
 *  @param logits [B, vocab_size], or NULL: only the state moves
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT when a token is out of range: nothing has moved then */
XLSTM_API xlstm_status xlstm_session_prompt(xlstm_session *session, const int32_t *tokens, int time,
                                            xlstm_real *logits);

/** What goes into every stream, for xlstm_session_run(). Zero it, then set what you have. Arrays are borrowed
 * for the call. */
typedef struct xlstm_input {
    size_t struct_size;       /**< sizeof(xlstm_input) */
    int time;                 /**< tokens of the longest row, at least 1 */
    const int32_t *tokens;    /**< [B, time], each in 0 .. vocab_size-1; modules over tokens */
    const xlstm_real *inputs; /**< [B, time, input_dim]; modules over vectors */
    const int32_t *lengths; /**< [B] or NULL: tokens of each row, 0 to time. The rest is padding, which is not
                               read and changes nothing */
    const unsigned char *resets; /**< [B, time] or NULL: non-zero where a new sequence begins: the stream is
                                    put back to the beginning before that token */
} xlstm_input;

/** Advances each stream by its own number of tokens, with new sequences where they begin; what the calls
 * above do is this with full rows.
 *  @param session over tokens or vectors
 *  @param input what goes in
 *  @param outputs [B, time, output_dim] receives all outputs, zeros in the padding; NULL: they are not
 * computed
 *  @param last [B, output_dim] receives the outputs of each row's last token, zeros for a row of no tokens;
 * NULL: they are not wanted
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT when a length, or a token before the padding, is out of range: nothing
 * has moved then */
XLSTM_API xlstm_status xlstm_session_run(xlstm_session *session, const xlstm_input *input,
                                         xlstm_real *outputs, xlstm_real *last);

/** Puts a stream back to the beginning.
 *  @param session whose
 *  @param stream 0 to B - 1, or -1: all
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT for a stream that does not exist */
XLSTM_API xlstm_status xlstm_session_reset(xlstm_session *session, int stream);
/** A second session over the same module with a copy of the state, to try several continuations of one text.
 * It computes with the kernels of the first.
 *  @param out receives the copy: yours, NULL on failure; free it with xlstm_session_free()
 *  @param session is only read
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_session_fork(xlstm_session **out, const xlstm_session *session);
/** Numbers in the state of one stream. It does not grow with the tokens seen.
 *  @param session may be NULL
 *  @return count of numbers; all of them zero is a stream that has seen nothing */
XLSTM_API size_t xlstm_session_state_size(const xlstm_session *session);
/** Copies the state of a stream out, to keep it or to put it into another session over the same weights. The
 * numbers do not say whose they are: xlstm_module_fingerprint() does, to be kept beside them.
 *  @param session whose
 *  @param stream 0 to B - 1
 *  @param state [xlstm_session_state_size()] receives it
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_session_get_state(const xlstm_session *session, int stream, xlstm_real *state);
/** Copies a state in: the stream goes on as the one did that it came from.
 *  @param session whose
 *  @param stream 0 to B - 1
 *  @param state [xlstm_session_state_size()], from xlstm_session_get_state()
 *  @return XLSTM_OK, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_session_set_state(xlstm_session *session, int stream, const xlstm_real *state);

#ifdef __cplusplus
}
#endif

#endif
