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

/** Every number type of a file: name, the file's spelling, bytes. */
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

typedef enum xlstm_dtype {
#define XLSTM_DTYPE_ENUM(name, text, bytes) XLSTM_##name,
    XLSTM_DTYPE_LIST(XLSTM_DTYPE_ENUM)
#undef XLSTM_DTYPE_ENUM
        XLSTM_DTYPES
} xlstm_dtype;

/** The type as a file spells it, "F32"; NULL for an unknown one. */
XLSTM_API const char *xlstm_dtype_name(xlstm_dtype dtype);
/** Bytes of one number; 0 for an unknown type. */
XLSTM_API size_t xlstm_dtype_size(xlstm_dtype dtype);

enum { XLSTM_MAX_DIMS = 8 };

/** One tensor. Of an open file, `name` and `data` are borrowed from it. */
typedef struct xlstm_tensor {
    const char *name;
    xlstm_dtype dtype;
    int ndim;                      /**< 0 (one number) to XLSTM_MAX_DIMS */
    int64_t shape[XLSTM_MAX_DIMS]; /**< row-major */
    size_t count;                  /**< numbers in it; the writer computes it from the shape */
    const void *data; /**< little-endian numbers of `dtype`; may be at any address, so copy, do not cast */
} xlstm_tensor;

/** An open file; its bytes are mapped, not read, until they are asked for. */
typedef struct xlstm_tensors xlstm_tensors;

/** Opens and checks a file. *out is yours and NULL on failure; close it with xlstm_tensors_close().
 *  @return XLSTM_E_IO when it cannot be read, XLSTM_E_FORMAT when anything in it is wrong: lengths, offsets
 *  (overlaps and holes too), shapes, types, duplicate or non-UTF-8 names */
XLSTM_API xlstm_status xlstm_tensors_open(xlstm_tensors **out, const char *path);
XLSTM_API void xlstm_tensors_close(xlstm_tensors *file);

/** Tensors in the file. */
XLSTM_API int xlstm_tensors_count(const xlstm_tensors *file);
/** Tensors come in the order of their data. @return XLSTM_E_ARGUMENT unless 0 <= index < count */
XLSTM_API xlstm_status xlstm_tensors_get(const xlstm_tensors *file, int index, xlstm_tensor *out);
/** @return XLSTM_E_NOT_FOUND when there is none of that name */
XLSTM_API xlstm_status xlstm_tensors_find(const xlstm_tensors *file, const char *name, xlstm_tensor *out);

/** Copies of all numbers, converted. `out` has room for `count` numbers. Integers convert to floating point
 * too; xlstm_tensor_int64() refuses floating point, and numbers beyond int64. */
XLSTM_API xlstm_status xlstm_tensor_reals(const xlstm_tensor *tensor, xlstm_real *out);
XLSTM_API xlstm_status xlstm_tensor_doubles(const xlstm_tensor *tensor, double *out);
XLSTM_API xlstm_status xlstm_tensor_int64s(const xlstm_tensor *tensor, int64_t *out);

/** Writes a file: beside it first, then renamed, so that `path` never holds half a file. Data is taken as it
 * is, in the type that each tensor names. @return XLSTM_E_ARGUMENT for a bad or duplicate name or shape */
XLSTM_API xlstm_status xlstm_tensors_write(const char *path, const xlstm_tensor *tensors, int count);

#ifdef __cplusplus
}
#endif

#endif
