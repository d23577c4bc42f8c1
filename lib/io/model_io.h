/* model_io.h - weights of modules that bring a configuration of their own. */
#ifndef XL_MODEL_IO_H
#define XL_MODEL_IO_H

#include "model/module.h"

/* All parameters of a module that is only declared, from the files of a directory. Packed matrices may point
 * into them from then on. */
xlstm_status xl_module_load_files(xlstm_module *m, const char *directory);
/* model.safetensors and config.json, which gets this text, in a directory that is made if it is not there. */
xlstm_status xl_module_save_files(const xlstm_module *m, const char *directory, const char *config);
/* The sizes of the tensor of this name in a directory's files; XLSTM_OK and ndim 0 if there is none. */
xlstm_status xl_module_peek(const char *directory, const char *name, int *ndim, int64_t shape[8]);

#endif
