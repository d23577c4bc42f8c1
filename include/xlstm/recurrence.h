/** @file
 * The recurrences alone, on plain arrays, for nets of your own: no projections, no weights but the recurrent
 * matrix. Modules (xlstm/module.h) are made of the same code.
 *
 * An xlstm_recurrence is the room that one layer needs: scratch, and what its backward pass needs from its
 * forward pass. Make one per layer; it keeps nothing else, so state goes in and out through your arrays:
 *
 *     xlstm_recurrence_config c;
 *     xlstm_recurrence *cell;
 *     xlstm_recurrence_config_init(&c, XLSTM_CELL_MLSTM);
 *     c.batch = B, c.time = T, c.heads = H, c.head_size = 64;
 *     xlstm_recurrence_create(&cell, &c);
 *     xlstm_mlstm_forward(cell, NULL, &(xlstm_mlstm_inputs){q, k, v, i, f}, h);
 *     ... d_h from your loss ...
 *     xlstm_mlstm_backward(cell, &(xlstm_mlstm_inputs){q, k, v, i, f}, h, d_h, &gradients);
 *
 * All arrays are row-major and dense, without gaps. They are borrowed for the call and must not overlap, but
 * for state_in and state_out. Since they are your arrays, recurrences compute on the host, wherever modules
 * lie.
 */
#ifndef XLSTM_RECURRENCE_H
#define XLSTM_RECURRENCE_H

#include "xlstm/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Sizes are counts of numbers; all must be positive. B = batch, T = time, H = heads. */
typedef struct xlstm_recurrence_config {
    size_t struct_size;   /**< filled by xlstm_recurrence_config_init() */
    xlstm_cell_kind kind; /**< which recurrence */
    int batch;            /**< B, sequences side by side */
    int time;             /**< T, tokens in the longest call */
    int heads;            /**< H; nn.LSTM is the LSTM with one */
    int head_size;        /**< numbers in one head's h; times heads, 2^20 at most */
    int key_size;         /**< mLSTM: numbers in one head's q and k; 0: head_size */
    int chunk_size; /**< mLSTM: tokens per chunk, 1 to 1024; changes speed and memory, not the mathematics */
    int gradients;  /**< 0: no backward pass will follow, and no memory is taken for it */
    double eps;     /**< mLSTM: added to the denominator; 0: 1e-6 */
} xlstm_recurrence_config;

/** As xlstm_recurrence_config_init(), of a struct of this size: a later version of the library has more
 * fields.
 *  @param config is overwritten
 *  @param size its size, as the caller knows it
 *  @param kind which */
XLSTM_API void xlstm_recurrence_config_init_sized(xlstm_recurrence_config *config, size_t size,
                                                  xlstm_cell_kind kind);
/** Fills the defaults: one sequence, 64 tokens, one head of 64 numbers, chunks of 64, with gradients.
 *  @param config receives them
 *  @param kind which recurrence */
static inline void xlstm_recurrence_config_init(xlstm_recurrence_config *config, xlstm_cell_kind kind) {
    xlstm_recurrence_config_init_sized(config, sizeof *config, kind);
}

/** Room for the calls of one layer. */
typedef struct xlstm_recurrence xlstm_recurrence;

/** Makes room for calls. All memory is taken here, for the number of threads that is set then; calls take
 * none.
 *  @param out receives the recurrence, which is yours: free it with xlstm_recurrence_free(). NULL on failure
 *  @param config sizes; not needed afterwards
 *  @return XLSTM_E_ARGUMENT, XLSTM_E_CONFIG for sizes out of range, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_recurrence_create(xlstm_recurrence **out, const xlstm_recurrence_config *config);
/** Frees a recurrence.
 *  @param cell may be NULL */
XLSTM_API void xlstm_recurrence_free(xlstm_recurrence *cell);

/** How large a state is. All zero is "nothing seen yet".
 *  - mLSTM: [H, dk*dv + dk + 1], of each head C [dk, dv], n [dk], m [1]
 *  - sLSTM: [4, H*head_size] = h, c, n, m
 *  - LSTM: [2, H*head_size] = h, c
 *  @param cell a recurrence; of NULL the size is 0
 *  @return numbers in the state of one sequence */
XLSTM_API size_t xlstm_recurrence_state_size(const xlstm_recurrence *cell);

/** How far a call goes, and from where. Zero it, then set what you have. */
typedef struct xlstm_span {
    size_t struct_size;     /**< sizeof(xlstm_span) */
    int time;               /**< tokens in this call, 1 to the configuration's; 0: as many. "T" below */
    const int32_t *lengths; /**< [B] or NULL: tokens of each row, 0 to T. The rest is padding: it is not read,
                                 and h and the gradients are zero there */
    const unsigned char
        *resets; /**< [B, T] or NULL: non-zero where a new sequence begins, from the zero state */
    const xlstm_real *state_in; /**< [B, state_size] or NULL: zero */
    xlstm_real *state_out; /**< [B, state_size] or NULL: receives the state after each row's last token (a row
                                of no tokens: as it came in); may be state_in */
} xlstm_span;

/** What one call of the mLSTM reads; dk = key_size, dv = head_size. */
typedef struct xlstm_mlstm_inputs {
    const xlstm_real *q; /**< queries, [B, T, H, dk] */
    const xlstm_real *k; /**< keys, [B, T, H, dk]; scaled by 1/sqrt(dk) inside */
    const xlstm_real *v; /**< values, [B, T, H, dv] */
    const xlstm_real *i; /**< pre-activations of the input gate, [B, T, H] */
    const xlstm_real *f; /**< pre-activations of the forget gate, [B, T, H] */
} xlstm_mlstm_inputs;

/** Gradients of those inputs, in the same shapes. Overwritten. */
typedef struct xlstm_mlstm_gradients {
    xlstm_real *q; /**< [B, T, H, dk] */
    xlstm_real *k; /**< [B, T, H, dk] */
    xlstm_real *v; /**< [B, T, H, dv] */
    xlstm_real *i; /**< [B, T, H] */
    xlstm_real *f; /**< [B, T, H] */
} xlstm_mlstm_gradients;

/** The mLSTM (arXiv 2405.04517, equations 19 to 27), with k~ = k / sqrt(dk):
 *
 *     m_t = max(log sigmoid(f_t) + m_{t-1}, i_t)
 *     C_t = exp(log sigmoid(f_t) + m_{t-1} - m_t) C_{t-1} + exp(i_t - m_t) k~_t v_t'
 *     n_t = exp(log sigmoid(f_t) + m_{t-1} - m_t) n_{t-1} + exp(i_t - m_t) k~_t
 *     h_t = q_t' C_t / (max(|q_t' n_t|, exp(-m_t)) + eps)
 *
 *  Computed chunk by chunk: time and memory are linear in T, and any way of cutting a sequence into calls
 * gives the same h to rounding.
 *  @param cell of kind mLSTM
 *  @param span NULL: all `time` tokens of every row, from the zero state
 *  @param inputs all five arrays
 *  @param h receives the output, [B, T, H, dv]
 *  @return XLSTM_E_ARGUMENT: nothing has been written then */
XLSTM_API xlstm_status xlstm_mlstm_forward(xlstm_recurrence *cell, const xlstm_span *span,
                                           const xlstm_mlstm_inputs *inputs, xlstm_real *h);
/** Gradients of the inputs of the last xlstm_mlstm_forward(), whose span it remembers. Gradients end at the
 * call's borders (truncated back-propagation through time): state_in gets none, and state_out brings none.
 *  @param cell of kind mLSTM
 *  @param inputs as they were in the forward pass
 *  @param h as the forward pass left it
 *  @param d_h gradient of h, [B, T, H, dv]
 *  @param gradients receives the gradients, all five arrays
 *  @return XLSTM_E_ARGUMENT also when no forward pass waits for its backward pass, which then is used up */
XLSTM_API xlstm_status xlstm_mlstm_backward(xlstm_recurrence *cell, const xlstm_mlstm_inputs *inputs,
                                            const xlstm_real *h, const xlstm_real *d_h,
                                            const xlstm_mlstm_gradients *gradients);

/** The sLSTM (arXiv 2405.04517, equations 8 to 17) or, as the kind says, the LSTM;
 *  d = head_size, and each head sees its own h only:
 *
 *     (i, f, z, o)_t = gates_t + R h_{t-1}
 *     sLSTM: m_t = max(i_t, log sigmoid(f_t) + m_{t-1})       i' = exp(i_t - m_t)
 *            f' = exp(log sigmoid(f_t) + m_{t-1} - m_t)       n_t = f' n_{t-1} + i'
 *            c_t = f' c_{t-1} + i' tanh(z_t)                  h_t = sigmoid(o_t) c_t / n_t
 *     LSTM:  c_t = sigmoid(f_t) c_{t-1} + sigmoid(i_t) tanh(z_t)        h_t = sigmoid(o_t) tanh(c_t)
 *
 *  @param cell of kind sLSTM or LSTM
 *  @param span NULL: all `time` tokens of every row, from the zero state
 *  @param gates [B, T, H, 4, d], pre-activations in the order i, f, z, o: the input's part, with all biases
 *  @param R recurrent matrix [H, 4, d, d]: of each head and gate, rows of outputs. With one head, and gates
 * i, f, g, o, it is nn.LSTM's weight_hh
 *  @param h receives the output, [B, T, H, d]
 *  @return XLSTM_E_ARGUMENT: nothing has been written then */
XLSTM_API xlstm_status xlstm_rnn_forward(xlstm_recurrence *cell, const xlstm_span *span,
                                         const xlstm_real *gates, const xlstm_real *R, xlstm_real *h);
/** Gradients of the last xlstm_rnn_forward(), whose span it remembers, by full back-propagation through time
 * within the call: state_in gets no gradient, and state_out brings none.
 *  @param cell of kind sLSTM or LSTM
 *  @param R as it was in the forward pass
 *  @param h as the forward pass left it
 *  @param d_h gradient of h, [B, T, H, d]
 *  @param d_gates [B, T, H, 4, d], overwritten; the gradient of a bias is its sum over tokens
 *  @param d_R [H, 4, d, d], ADDED to
 *  @return XLSTM_E_ARGUMENT also when no forward pass waits for its backward pass, which then is used up */
XLSTM_API xlstm_status xlstm_rnn_backward(xlstm_recurrence *cell, const xlstm_real *R, const xlstm_real *h,
                                          const xlstm_real *d_h, xlstm_real *d_gates, xlstm_real *d_R);

#ifdef __cplusplus
}
#endif

#endif
