/** @file
 * What every header needs: export macro, status codes, last error, version, threads.
 */
#ifndef XLSTM_COMMON_H
#define XLSTM_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define XLSTM_API __attribute__((visibility("default")))
#else
#define XLSTM_API
#endif

#define XLSTM_VERSION_STRING "0.1.0"

/** The number type of weights, activations and gradients: float; double in the build that checks them. */
#ifdef XLSTM_DOUBLE
typedef double xlstm_real;
#else
typedef float xlstm_real;
#endif

/** Every status: name, value, text. Zero is success, all others are negative. */
#define XLSTM_STATUS_LIST(X)                                                                                 \
    X(OK, 0, "ok")                                                                                           \
    X(E_ARGUMENT, -1, "invalid argument")                                                                    \
    X(E_CONFIG, -2, "invalid configuration")                                                                 \
    X(E_MEMORY, -3, "out of memory")                                                                         \
    X(E_IO, -4, "file cannot be read or written")                                                            \
    X(E_FORMAT, -5, "file is malformed")                                                                     \
    X(E_NOT_FOUND, -6, "no such name")                                                                       \
    X(E_NUMERIC, -7, "a value is not finite")

typedef enum xlstm_status {
#define XLSTM_STATUS_ENUM(name, value, text) XLSTM_##name = value,
    XLSTM_STATUS_LIST(XLSTM_STATUS_ENUM)
#undef XLSTM_STATUS_ENUM
} xlstm_status;

/** The text of a status, for example "invalid argument". Never NULL; not to be freed. */
XLSTM_API const char *xlstm_status_name(xlstm_status status);

/** One sentence about this thread's most recent failure: what was wrong, what was expected, a hint.
 *  Valid until the next failing call of this thread. Empty before the first failure. */
XLSTM_API const char *xlstm_last_error(void);

/** Version of the linked library, "major.minor.patch". */
XLSTM_API const char *xlstm_version(void);

enum { XLSTM_MAX_THREADS = 256 };

/** Threads that every later call may use. Set it before creating sessions and trainers, which plan their
 *  memory for it. Default: what OpenMP would use (OMP_NUM_THREADS). Results do not depend on it.
 *  @return XLSTM_E_ARGUMENT unless 1 <= count <= XLSTM_MAX_THREADS */
XLSTM_API xlstm_status xlstm_set_threads(int count);
XLSTM_API int xlstm_get_threads(void);

/** Weights of a cell, a block or a model; see xlstm/module.h. */
typedef struct xlstm_module xlstm_module;
/** One inference timeline over a module; see xlstm/session.h. */
typedef struct xlstm_session xlstm_session;
/** Tape and gradients over a module; see xlstm/train.h. */
typedef struct xlstm_trainer xlstm_trainer;
/** Moments and rule of an optimizer; see xlstm/optim.h. */
typedef struct xlstm_optimizer xlstm_optimizer;

#ifdef __cplusplus
}
#endif

#endif
