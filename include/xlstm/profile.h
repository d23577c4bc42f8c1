/** @file
 * Where the time goes: every operation on tensor data, timed and its work counted, over any number of calls
 * of sessions, trainers and optimizers, of all threads together.
 *
 * @code
 * xlstm_profile_start();
 * xlstm_trainer_backward(trainer, &batch, NULL);
 * xlstm_profile_stop();
 * for (int i = 0; i < xlstm_profile_count(); i++) {
 *     xlstm_profile_op op;
 *     if (!xlstm_profile_get(i, &op) && op.calls)
 *         printf("%-14s %8.3f ms %8.1f GFLOP/s\n", op.name, 1e3 * op.seconds, op.flops / op.seconds / 1e9);
 * }
 * @endcode
 *
 * Taking one costs two looks at the clock per operation; none being taken costs nothing.
 */
#ifndef XLSTM_PROFILE_H
#define XLSTM_PROFILE_H

#include "xlstm/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The sums of one operation since xlstm_profile_start(). */
typedef struct xlstm_profile_op {
    const char *name; /**< such as "linear"; not to be freed */
    int64_t calls;    /**< how often it was called */
    double seconds;   /**< from call to return, whatever the number of threads */
    double flops; /**< multiplications and additions of matrix products and recurrences, as the mathematics
                     has them (the mLSTM's in its recurrent form; what a backward pass computes anew is not
                     counted); 0 for point-wise work */
    double bytes; /**< memory that is read and written if each array is touched once */
} xlstm_profile_op;

/** All sums back to zero; from here on everything that is called is added to them. A call that is under way
 * in another thread is not. */
XLSTM_API void xlstm_profile_start(void);
/** From here on nothing is added. What was added stays until the next start. */
XLSTM_API void xlstm_profile_stop(void);
/** How many operations there are, called or not.
 *  @return count, for indices 0 to count - 1 */
XLSTM_API int xlstm_profile_count(void);
/** The sums of one operation.
 *  @param index 0 to xlstm_profile_count() - 1
 *  @param out receives the sums
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT for another index, or no room */
XLSTM_API xlstm_status xlstm_profile_get(int index, xlstm_profile_op *out);

#ifdef __cplusplus
}
#endif

#endif
