/** @file
 * Files of named tensors in the safetensors format: reading by memory map, and writing.
 * Needed only for data of your own (reference cases, embeddings); models are loaded by xlstm/io.h.
 */
#ifndef XLSTM_TENSORS_H
#define XLSTM_TENSORS_H

#include "xlstm/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Every number type of a file: X(name, the file's spelling, bytes). */
#define XLSTM_DTYPE_LIST(X)                                                                                  \
    X(F64, "F64", 8)                                                                                         \
    X(F32, "F32", 4)                                                                                         \
    X(F16, "F16", 2)                                                                                         \
    X(BF16, "BF16", 2)                                                                                       \
    X(I64, "I64", 8)                                                                                         \
    X(I32, "I32", 4)                                                                                         \
    X(I16, "I16", 2)                                                                                         \
    X(I8, "I8", 1)                                                                                           \
    X(U64, "U64", 8)                                                                                         \
    X(U32, "U32", 4)                                                                                         \
    X(U16, "U16", 2)                                                                                         \
    X(U8, "U8", 1)                                                                                           \
    X(BOOL, "BOOL", 1)

/** Number types, named as the file names them: XLSTM_F32 and so on. */
typedef enum xlstm_dtype {
/** A line of the list as a value of the enum. */
#define XLSTM_DTYPE_ENUM(name, text, bytes) XLSTM_##name,
    XLSTM_DTYPE_LIST(XLSTM_DTYPE_ENUM)
#undef XLSTM_DTYPE_ENUM
        XLSTM_DTYPES /**< how many types there are */
} xlstm_dtype;

/** @var XLSTM_F64
 * IEEE double. */
/** @var XLSTM_F32
 * IEEE float. */
/** @var XLSTM_F16
 * IEEE half: 11 bits of precision, up to 65504. */
/** @var XLSTM_BF16
 * bfloat16, the upper half of a float: 8 bits of precision. */
/** @var XLSTM_I64
 * Signed, 64 bits. */
/** @var XLSTM_I32
 * Signed, 32 bits. */
/** @var XLSTM_I16
 * Signed, 16 bits. */
/** @var XLSTM_I8
 * Signed, 8 bits. */
/** @var XLSTM_U64
 * Unsigned, 64 bits. */
/** @var XLSTM_U32
 * Unsigned, 32 bits. */
/** @var XLSTM_U16
 * Unsigned, 16 bits. */
/** @var XLSTM_U8
 * Unsigned, 8 bits. */
/** @var XLSTM_BOOL
 * A byte, 0 or 1. */

/** A number type as a file spells it.
 *  @param dtype any value
 *  @return "F32", ..., not to be freed; NULL for an unknown type */
XLSTM_API const char *xlstm_dtype_name(xlstm_dtype dtype);
/** Size of a number type.
 *  @param dtype any value
 *  @return bytes of one number; 0 for an unknown type */
XLSTM_API size_t xlstm_dtype_size(xlstm_dtype dtype);

enum {
    XLSTM_MAX_DIMS = 8 /**< most dimensions of a tensor */
};

/** One tensor. Of an open file, `name` and `data` are borrowed from it. */
typedef struct xlstm_tensor {
    const char *name;              /**< UTF-8 */
    xlstm_dtype dtype;             /**< type of its numbers */
    int ndim;                      /**< 0 (one number) to XLSTM_MAX_DIMS */
    int64_t shape[XLSTM_MAX_DIMS]; /**< row-major */
    size_t count;                  /**< numbers in it; the writer computes it from the shape */
    const void *data; /**< little-endian numbers of `dtype`; may be at any address, so copy, do not cast */
} xlstm_tensor;

/** An open file; its bytes are mapped, not read, until they are asked for. While it is open it must not be
 * truncated or written in place, which would end the process (SIGBUS) or change numbers that were checked;
 * replacing it by another of its name, as all writers here do, or removing it, is safe. */
typedef struct xlstm_tensors xlstm_tensors;

/** Opens and checks a file.
 *  @param out receives the file: yours, NULL on failure; close it with xlstm_tensors_close()
 *  @param path of a safetensors file
 *  @return XLSTM_OK; XLSTM_E_IO when it cannot be read; XLSTM_E_FORMAT when anything in it is wrong: lengths,
 * offsets (overlaps and holes too), shapes, types, duplicate or non-UTF-8 names; XLSTM_E_MEMORY;
 * XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_tensors_open(xlstm_tensors **out, const char *path);
/** Closes a file: names and data of its tensors are gone then.
 *  @param file may be NULL */
XLSTM_API void xlstm_tensors_close(xlstm_tensors *file);

/** How many tensors a file has.
 *  @param file may be NULL
 *  @return count, for indices 0 to count - 1 */
XLSTM_API int xlstm_tensors_count(const xlstm_tensors *file);
/** A tensor by its index; they come in the order of their data.
 *  @param file an open one
 *  @param index 0 to count - 1
 *  @param out is filled
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT unless 0 <= index < count */
XLSTM_API xlstm_status xlstm_tensors_get(const xlstm_tensors *file, int index, xlstm_tensor *out);
/** A tensor by its name.
 *  @param file an open one
 *  @param name exactly as the file has it
 *  @param out is filled
 *  @return XLSTM_OK; XLSTM_E_NOT_FOUND when there is none of that name; XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_tensors_find(const xlstm_tensors *file, const char *name, xlstm_tensor *out);
/** A text that the file holds beside its tensors, in `__metadata__` of its header.
 *  @param file an open one; may be NULL
 *  @param key exactly as the file has it; may be NULL
 *  @return borrowed from the file; NULL when it has none of that key */
XLSTM_API const char *xlstm_tensors_metadata(const xlstm_tensors *file, const char *key);

/** Copies all numbers as xlstm_real, rounded to nearest; integers too.
 *  @param tensor of a file, or one of your own
 *  @param out [tensor->count]
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_tensor_reals(const xlstm_tensor *tensor, xlstm_real *out);
/** Copies all numbers as double; integers too.
 *  @param tensor of a file, or one of your own
 *  @param out [tensor->count]
 *  @return XLSTM_OK, or XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_tensor_doubles(const xlstm_tensor *tensor, double *out);
/** Copies all numbers of a tensor of integers.
 *  @param tensor of a file, or one of your own
 *  @param out [tensor->count]
 *  @return XLSTM_OK; XLSTM_E_FORMAT for floating point, or a number beyond int64; XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_tensor_int64s(const xlstm_tensor *tensor, int64_t *out);

/** Writes a file, as xlstm/io.h says under "Writing files": `path` never holds half a file. Data is taken as
 * it is, in the type that each tensor names.
 *  @param path is replaced
 *  @param tensors [count]; their own `count` is not looked at
 *  @param count of tensors
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for a bad or duplicate name or shape; XLSTM_E_IO; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_tensors_write(const char *path, const xlstm_tensor *tensors, int count);

/** A text of a file, to be found again by xlstm_tensors_metadata(). */
typedef struct xlstm_metadata {
    const char *key;  /**< UTF-8 */
    const char *text; /**< UTF-8 */
} xlstm_metadata;

/** The same, with texts that say what the tensors are.
 *  @param path is replaced
 *  @param tensors [count]; their own `count` is not looked at
 *  @param count of tensors
 *  @param metadata [texts]; they stand in the file in this order, before all else
 *  @param texts how many; with 0 it is xlstm_tensors_write()
 *  @return as xlstm_tensors_write(); XLSTM_E_ARGUMENT also for a text or key that is NULL or not UTF-8, and
 * for a key that is given twice */
XLSTM_API xlstm_status xlstm_tensors_write_with(const char *path, const xlstm_tensor *tensors, int count,
                                                const xlstm_metadata *metadata, int texts);

#ifdef __cplusplus
}
#endif

#endif
