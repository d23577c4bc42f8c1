/* config_json.h - xlstm_config from and to the JSON of the official package, Hugging Face and our own. */
#ifndef XL_CONFIG_JSON_H
#define XL_CONFIG_JSON_H

#include "file/fields.h"
#include "xlstm/config.h"

/* What may stand in an object of any format and depth, and says nothing about the mathematics: kernels,
 * number types, devices, who wrote the file. At the end of a table, where the first of two that have a key
 * counts. */
#define XL_IGNORED_ANYWHERE                                                                                  \
    {"backend", XL_IGNORED, 0, NULL}, {"device", XL_IGNORED, 0, NULL}, {"dtype", XL_IGNORED, 0, NULL},       \
        {"chunkwise_kernel", XL_IGNORED, 0, NULL}, {"sequence_kernel", XL_IGNORED, 0, NULL},                 \
        {"step_kernel", XL_IGNORED, 0, NULL}, {"autocast_kernel_dtype", XL_IGNORED, 0, NULL},                \
        {"inference_state_dtype", XL_IGNORED, 0, NULL}, {"return_last_states", XL_IGNORED, 0, NULL},         \
        {"norm_reduction_force_float32", XL_IGNORED, 0, NULL}, {"mode", XL_IGNORED, 0, NULL},                \
        {"max_inference_chunksize", XL_IGNORED, 0, NULL}, {"use_cache", XL_IGNORED, 0, NULL},                \
        {"enable_automatic_mixed_precision", XL_IGNORED, 0, NULL}, {"torch_compile", XL_IGNORED, 0, NULL},   \
        {"torch_dtype", XL_IGNORED, 0, NULL}, {"transformers_version", XL_IGNORED, 0, NULL},                 \
        {"architectures", XL_IGNORED, 0, NULL}, {"auto_map", XL_IGNORED, 0, NULL}, {                         \
        "_name_or_path", XL_IGNORED, 0, NULL                                                                 \
    }

/* `where` begins every error: the file's name. */
xlstm_status xl_config_from_json(xlstm_config *c, json_t *object, const char *where);
/* *out is a new object. */
xlstm_status xl_config_to_json(const xlstm_config *c, json_t **out);
/* In the library's own format, which has every field; of a configuration that need not be a whole model's. */
json_t *xl_config_to_own_json(const xlstm_config *c);

/* The text of a config.json, to be given to xl_free(). */
xlstm_status xl_config_text(const xlstm_config *c, char **text);

/* The mark that weights carry of the configuration they were saved with, under this key of their header's
 * texts: its own JSON without what is as by default, so that a field of a later version changes no mark of
 * today. NULL without memory; xl_free() it. */
#define XL_CONFIG_MARK "libxlstm.config"
char *xl_config_mark(const xlstm_config *c);
/* Does a model of configuration c compute what one of the mark's does? `where` is the file with the mark. */
xlstm_status xl_config_check_mark(const xlstm_config *c, const char *mark, const char *where);

/* The official formats, of certain kinds of block; _fits: whether one can say all of it. config_json.c
 * chooses. */
xlstm_status xl_paper_from_json(xlstm_config *c, json_t *object, const char *where);
int xl_paper_fits(const xlstm_config *c);
json_t *xl_paper_to_json(const xlstm_config *c);
xlstm_status xl_large_from_json(xlstm_config *c, json_t *object, const char *where);
int xl_large_fits(const xlstm_config *c);
json_t *xl_large_to_json(const xlstm_config *c);

#endif
