/** @file
 * What every header needs: export macro, status codes, last error, version, threads,
 * hooks for memory and log.
 *
 * @par Errors
 * What can fail returns an xlstm_status, and xlstm_last_error() then holds one sentence about it. The library
 * never prints, exits or aborts on a caller's mistake, and a call that fails has changed nothing unless its
 * text says otherwise.
 * @par Ownership
 * Creators take the address of a pointer first: `*out` is yours, NULL on failure, and freed by the matching
 * `_free`, which accepts NULL. A pointer that a function returns is borrowed. Arrays that you give are only
 * used during the call.
 * @par Structs that grow
 * Structs that begin with struct_size get new fields at their end in later versions. A program goes on
 * working with a later library: fields that it does not know have their defaults. With an earlier one too, as
 * long as it leaves the fields zero that the library does not know; what it sets among them is refused, never
 * ignored.
 * @par Shapes
 * Row-major, with one meaning of each letter everywhere: B streams, T tokens, D width of the residual stream,
 * H heads, V vocabulary.
 */
#ifndef XLSTM_COMMON_H
#define XLSTM_COMMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Marks what the shared library exports. */
#if defined(__GNUC__)
#define XLSTM_API __attribute__((visibility("default")))
#else
#define XLSTM_API
#endif

/** Version of these headers, "major.minor.patch"; xlstm_version() is that of the linked library. */
#define XLSTM_VERSION_STRING "0.2.0"

/** The number type of weights, activations and gradients: float, or double in the build that checks
 * gradients. */
#ifdef XLSTM_DOUBLE
typedef double xlstm_real;
#else
typedef float xlstm_real;
#endif

/** Every status: X(name, value, text). Zero is success, all others are negative. */
#define XLSTM_STATUS_LIST(X)                                                                                 \
    X(OK, 0, "ok")                                                                                           \
    X(E_ARGUMENT, -1, "invalid argument")                                                                    \
    X(E_CONFIG, -2, "invalid configuration")                                                                 \
    X(E_MEMORY, -3, "out of memory")                                                                         \
    X(E_IO, -4, "file cannot be read or written")                                                            \
    X(E_FORMAT, -5, "file is malformed")                                                                     \
    X(E_NOT_FOUND, -6, "no such name")                                                                       \
    X(E_NUMERIC, -7, "a value is not finite")                                                                \
    X(E_DEVICE, -8, "the device failed")

/** What a call came to. Test for XLSTM_OK, or as a truth value: any failure is non-zero. */
typedef enum xlstm_status {
/** A line of the list as a value of the enum. */
#define XLSTM_STATUS_ENUM(name, value, text) XLSTM_##name = value,
    XLSTM_STATUS_LIST(XLSTM_STATUS_ENUM)
#undef XLSTM_STATUS_ENUM
} xlstm_status;

/** @var XLSTM_OK
 * Done. */
/** @var XLSTM_E_ARGUMENT
 * The call makes no sense: a NULL, a size, an index or an order of calls that cannot be. */
/** @var XLSTM_E_CONFIG
 * A field of a configuration is out of range, contradicts another or is not supported; the sentence names it.
 */
/** @var XLSTM_E_MEMORY
 * The system gave no memory. Calls that only run a model never come to this. */
/** @var XLSTM_E_IO
 * A file or directory could not be opened, read, written or renamed. */
/** @var XLSTM_E_FORMAT
 * A file was read, and does not hold what it should. */
/** @var XLSTM_E_NOT_FOUND
 * There is nothing of that name. */
/** @var XLSTM_E_NUMERIC
 * A loss, gradient or logit is NaN or infinite. */
/** @var XLSTM_E_DEVICE
 * The device that a module lies on could not do what it was asked; the sentence has its own words. */

/** The text of a status, for example "invalid argument".
 *  @param status any value, also one that is none
 *  @return text, never NULL and not to be freed */
XLSTM_API const char *xlstm_status_name(xlstm_status status);

/** One sentence about this thread's most recent failure: what was wrong, what was expected, a hint.
 *  @return text, empty before the first failure; valid until the next failing call of this thread, not to be
 * freed */
XLSTM_API const char *xlstm_last_error(void);

/** Version of the linked library.
 *  @return "major.minor.patch", not to be freed */
XLSTM_API const char *xlstm_version(void);

enum {
    XLSTM_MAX_THREADS = 256 /**< most threads that xlstm_set_threads() takes */
};

/** Threads that every later call may use. Set it before creating sessions and trainers, which plan their
 * memory for it and refuse calls while there are more threads than that. Any thread may set it at any time:
 * a call that is running goes on with what it began with. Default: what OpenMP would use (OMP_NUM_THREADS).
 * Results do not depend on it, bit for bit. Where the system gives no more threads, calls go on with fewer,
 * and the log is told. A child of fork(), whose parent has computed, does so on one thread, whatever is set.
 * All threads compute in the floating-point mode of the thread that calls (flushing to zero, rounding).
 *  @param count 1 to XLSTM_MAX_THREADS; 1 where one thread serves one session each
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT for a count out of range */
XLSTM_API xlstm_status xlstm_set_threads(int count);
/** The number of threads in force.
 *  @return 1 to XLSTM_MAX_THREADS; 1 in a child of fork(), whose parent has computed */
XLSTM_API int xlstm_get_threads(void);

/** Names of the backends, whether or not this machine has them: "avx512", "avx2", "base" (kernels compiled
 * for those instruction sets, base being what every machine of the architecture has) and "ref" (plain loops).
 *  @param index 0, 1, ...
 *  @return the name, not to be freed; NULL behind the last */
XLSTM_API const char *xlstm_backend_name(int index);
/** What sessions, trainers, optimizers and recurrences that are made from here on compute with; those that
 * there are keep their kernels. For tests and measurements. Before the first call of this, creating a
 * session, a trainer, an optimizer or a recurrence looks at the environment variable XLSTM_BACKEND for a
 * name, and fails where this would.
 *  @param name one of the names, or "auto" or NULL: the best that this machine has
 *  @return XLSTM_E_ARGUMENT for an unknown name, or one that this machine does not have: nothing has changed
 * then */
XLSTM_API xlstm_status xlstm_set_backend(const char *name);
/** @return the name of what the next of them will compute with, not to be freed */
XLSTM_API const char *xlstm_get_backend(void);

/** Where modules that this thread makes or loads from here on lie; their sessions, trainers and optimizers
 * lie and compute where they do. A device has kernels of its own: xlstm_set_backend() is about the host's.
 * Bare recurrences stay on the host. On a thread that has set none, making a module looks at the environment
 * variable XLSTM_DEVICE for a name, and fails where this would; without it, it is the host.
 *  @param name "cpu": the host; "cuda" or "cuda:0", "cuda:1", ...: an NVIDIA device, whose library
 * libxlstm_cuda lies beside this one; "auto": the first such device where it can be used, else the host;
 * NULL: as before the first call
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for an unknown name; XLSTM_E_DEVICE where the device cannot be used,
 * and the sentence says what is missing: library, driver, device or kernels. Nothing has changed then */
XLSTM_API xlstm_status xlstm_set_device(const char *name);

/** Gives a block of memory, at any alignment and with any contents.
 *  @param context what xlstm_set_allocator() was given
 *  @param bytes its size, at least 1
 *  @return the block; NULL when there is none: the call that wanted it then returns XLSTM_E_MEMORY */
typedef void *xlstm_alloc_callback(void *context, size_t bytes);
/** Takes a block back.
 *  @param context what xlstm_set_allocator() was given
 *  @param block exactly what the other function gave; never NULL */
typedef void xlstm_free_callback(void *context, void *block);

/** All memory of the library from functions of yours in place of the C library's aligned_alloc() and free().
 * Set them before other threads call the library. They are called by whichever thread calls the library, so
 * they must be safe for several threads if you use several; running sessions and trainers call neither. The
 * library aligns blocks to 64 bytes itself, which adds 72 bytes to each.
 *
 * What the libraries below take is theirs: OpenBLAS and OpenMP their buffers and threads; jansson the JSON of
 * a file while that is read or written. (It has one allocator per process, and your program may use jansson
 * too, so this library leaves it alone.) Weights that are mapped from files are no allocations either, nor is
 * the memory of a device.
 *  @param alloc gives memory; NULL, with `free` NULL, for the C library's
 *  @param free takes it back
 *  @param context handed to both
 *  @return XLSTM_E_ARGUMENT for one function without the other, or while anything that the library created is
 * in use, which would go back to the wrong heap: nothing has changed then */
XLSTM_API xlstm_status xlstm_set_allocator(xlstm_alloc_callback *alloc, xlstm_free_callback *free,
                                           void *context);

/** How much a sentence of the log matters. */
typedef enum xlstm_log_level {
    XLSTM_LOG_INFO,   /**< what was made, how large, for which kernels; what was opened */
    XLSTM_LOG_WARNING /**< it works, but hardly as you want it */
} xlstm_log_level;

/** Is told what the library does.
 *  @param context what xlstm_set_log() was given
 *  @param level how much it matters
 *  @param sentence without a line end; it is yours during the call, so copy it to keep it */
typedef void xlstm_log_callback(void *context, xlstm_log_level level, const char *sentence);

/** Who is told what the library does: which kernels it picked, how much memory a session or trainer planned,
 * which files it mapped. A few sentences when something is created or opened, or the number of threads is
 * odd, none while it runs; failures are not among them, see xlstm_last_error(). By itself the library prints
 * nothing. The callback is called by whichever thread calls the library. Set it before other threads do.
 *  @param callback NULL: nobody is told
 *  @param context handed to the callback */
XLSTM_API void xlstm_set_log(xlstm_log_callback *callback, void *context);

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
