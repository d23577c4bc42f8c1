/* safetensors.h - the header, which xlstm/tensors.h hides: its bytes for a checksum, and its metadata. */
#ifndef XL_SAFETENSORS_H
#define XL_SAFETENSORS_H

#include "file/json.h"
#include "xlstm/tensors.h"

/* How xlstm_real is kept in files. */
#define XL_REAL_DTYPE (sizeof(xlstm_real) == 8 ? XLSTM_F64 : XLSTM_F32)

/* Writing in two steps, so that data may depend on the header. *head (xl_free() it) is all that goes before
 * the data: length, JSON, blanks. It does not depend on what the tensors hold. metadata: texts, or NULL;
 * borrowed. */
xlstm_status xl_tensors_head(char **head, size_t *bytes, const xlstm_tensor *tensors, int count,
                             json_t *metadata);
xlstm_status xl_tensors_put(const char *path, const char *head, size_t bytes, const xlstm_tensor *tensors,
                            int count);

/* The same of an open file; NULL metadata where there is none. */
const char *xl_tensors_head_of(const xlstm_tensors *file, size_t *bytes);
const json_t *xl_tensors_metadata(const xlstm_tensors *file);
/* As it was opened. */
const char *xl_tensors_path(const xlstm_tensors *file);

#endif
