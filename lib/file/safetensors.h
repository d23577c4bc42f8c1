/* safetensors.h - the header, which xlstm/tensors.h hides: its bytes for a checksum, and its metadata. */
#ifndef XL_SAFETENSORS_H
#define XL_SAFETENSORS_H

#include "file/file.h"
#include "file/json.h"
#include "xlstm/tensors.h"

/* How xlstm_real is kept in files. */
#define XL_REAL_DTYPE (sizeof(xlstm_real) == 8 ? XLSTM_F64 : XLSTM_F32)

/* Where a writer has tensors' bytes from, if they do not lie at `data`: read() says where on the host bytes
 * `at` and on of tensor i are until it is called again, and how many, at least one and none of another
 * tensor. Tensors are read one after the other, each from its beginning to its end; not in the order of the
 * list. */
typedef struct {
    xlstm_status (*read)(void *context, int i, size_t at, const void **data, size_t *bytes);
    void *context;
} xl_source;

/* Writing in two steps, so that data may depend on the header. *head (xl_free() it) is all that goes before
 * the data: length, JSON, blanks. It does not depend on what the tensors hold. metadata: texts, or NULL;
 * borrowed. source: NULL, the data lie on the host. The file is open, and is to be ended with what this
 * returns. */
xlstm_status xl_tensors_head(char **head, size_t *bytes, const xlstm_tensor *tensors, int count,
                             json_t *metadata);
xlstm_status xl_tensors_put(xl_file_replace *file, const char *head, size_t bytes,
                            const xlstm_tensor *tensors, int count, const xl_source *source);

/* The same of an open file; NULL metadata where there is none. */
const char *xl_tensors_head_of(const xlstm_tensors *file, size_t *bytes);
const json_t *xl_tensors_metadata(const xlstm_tensors *file);
/* As xl_file_map_check(). */
xlstm_status xl_tensors_check(const xlstm_tensors *file);
/* As it was opened. */
const char *xl_tensors_path(const xlstm_tensors *file);

#endif
