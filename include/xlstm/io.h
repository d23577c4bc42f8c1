/** @file
 * Models in files, in the formats of the official `xlstm` package and of Hugging Face transformers.
 *
 * A model's directory holds `config.json` and its weights, which are the first of these that is there: the
 * shards of a `model.safetensors.index.json`, `model.safetensors`, `weights.safetensors`, or
 * `model_0.safetensors` `model_1.safetensors` ...
 *
 * `config.json` is one of
 * - `dataclasses.asdict` of the package's xLSTMLMModelConfig (or xLSTMBlockStackConfig: then vectors of
 *   embedding_dim go in and come out, through projections that start as the identity),
 * - that of its xLSTMLargeConfig (xLSTM-7B),
 * - Hugging Face's, with `"model_type": "xlstm"`,
 * - the library's own, `"model_type": "libxlstm"`, with the fields of xlstm_config, for what those cannot
 * say.
 *
 * A field that would change the mathematics is honoured or is an error that names it; so is a field that
 * nobody knows. What only chooses kernels, number types or generation is ignored.
 *
 * Writing files. All of the library's writers follow one rule set:
 * - A regular file, or one that is not there yet, is written beside, brought to the disk and renamed: until
 *   then, and whenever the call fails, what was there is unchanged, and nothing is left beside it. Killing
 *   the program or the machine leaves the old file or the new one, whole. What is left beside then
 *   (`NAME.xlstm-0.tmp`, or another number) is removed by the next save to the same path. Names of that
 *   form are the library's own; no other file is touched.
 * - Symbolic links stay: the file that they lead to is replaced, or made. Another name of the same file (a
 *   hard link) keeps the old contents.
 * - A file that is replaced passes on its mode and access list, and where the process may, its group and
 *   its owner. 0600 stays 0600, also beside it; a group that cannot be kept leaves its rights to no other.
 *   Other attributes are those of a new file. A new file is as the umask says. A file that may not be
 *   written is not replaced.
 * - A character device, a pipe that somebody reads, and an open descriptor (`/dev/stdout`, `/dev/fd/3`) are
 *   written straight into, and so may get a part when the call fails; xlstm_checkpoint_save() and
 *   xlstm_module_save() refuse them. A pipe without a reader is refused, never waited for; so are
 *   directories, sockets and disks.
 * - A limit on the size of files (RLIMIT_FSIZE) and a reader that goes away are failures of the call; their
 *   signals, SIGXFSZ and SIGPIPE, do not reach the program.
 *
 * The sLSTM's gradient_recurrent_cut and clip values are what the package (2.0.6) makes of them. Its vanilla
 * backend disregards them all. Its CUDA backend honours the cut, and compiles gradient_recurrent_clipval in
 * the place of both clip values: it holds the cell's output and the gradient through the recurrent product,
 * while forward_clipval reaches nothing. xlstm_config has the two as separate fields.
 */
#ifndef XLSTM_IO_H
#define XLSTM_IO_H

#include "xlstm/module.h"
#include "xlstm/tensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As xlstm_config_load(), into a struct of this size: a later version of the library has more fields.
 *  @param path a JSON file, or a directory with config.json
 *  @param config is overwritten
 *  @param size its size, as the caller knows it
 *  @return as xlstm_config_load() */
XLSTM_API xlstm_status xlstm_config_load_sized(const char *path, xlstm_config *config, size_t size);
/** Reads a configuration.
 *  @param path a JSON file, or a directory with config.json
 *  @param config is overwritten
 *  @return XLSTM_OK, XLSTM_E_IO, XLSTM_E_FORMAT (not JSON), XLSTM_E_CONFIG (a field is wrong, missing or not
 * supported), XLSTM_E_MEMORY, XLSTM_E_ARGUMENT for NULL */
static inline xlstm_status xlstm_config_load(const char *path, xlstm_config *config) {
    return xlstm_config_load_sized(path, config, sizeof *config);
}
/** Writes a configuration in the format that it came from, or the official one of its family, or the own one.
 *  @param config what xlstm_config_check() accepts
 *  @param path a JSON file, or a directory for config.json; written as "Writing files" says
 *  @return XLSTM_OK, XLSTM_E_IO, XLSTM_E_CONFIG, XLSTM_E_MEMORY, XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_config_save(const xlstm_config *config, const char *path);

/** A configuration as one line of JSON in the library's own format, which has every field: to keep it with
 *  results, to compare, to send. Not in it: `weights`, which is a choice of the one who loads.
 *  @param config what xlstm_config_check() accepts
 *  @param text [capacity], terminated; may be NULL if capacity is 0
 *  @param capacity room in `text`, bytes
 *  @param bytes receives how many it takes with the zero at its end, also when they did not fit; else 0
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT when it does not fit (call again with room for *bytes), or for NULL;
 * XLSTM_E_CONFIG, XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_config_to_json(const xlstm_config *config, char *text, size_t capacity,
                                            size_t *bytes);
/** As xlstm_config_from_json(), into a struct of this size: a later version of the library has more fields.
 *  @param text as the top of this page says of config.json
 *  @param config is overwritten
 *  @param size its size, as the caller knows it
 *  @return as xlstm_config_from_json() */
XLSTM_API xlstm_status xlstm_config_from_json_sized(const char *text, xlstm_config *config, size_t size);
/** Reads a configuration from a text in any of the formats of a config.json.
 *  @param text as the top of this page says of config.json, terminated
 *  @param config is overwritten
 *  @return as xlstm_config_load() */
static inline xlstm_status xlstm_config_from_json(const char *text, xlstm_config *config) {
    return xlstm_config_from_json_sized(text, config, sizeof *config);
}

/** Creates a module from a directory: configuration and weights.
 *
 * Weights that xlstm_module_save() wrote say which configuration they were saved with. If config.json says
 * another one, with which they would compute something else (a save was cut short, or a file is of another
 * model), the directory is refused, and the sentence names the field. Changes that only training, speed or
 * file names look at, such as another dropout, are free. A change by hand that is meant: make the model with
 * xlstm_model_create(), take the weights with xlstm_module_load_weights(), which does not compare, and save.
 * Weights of the official packages and of Hugging Face, and those that were saved before this was kept, say
 * nothing, and load with any configuration that fits.
 *  @param out receives the module: yours, NULL on failure; free it with xlstm_module_free()
 *  @param directory as the top of this page says
 *  @return XLSTM_OK; XLSTM_E_IO for what cannot be read; XLSTM_E_FORMAT and XLSTM_E_CONFIG with the field or
 * tensor; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_module_load(xlstm_module **out, const char *directory);
/** The same, with matrices kept in a smaller type for inference (see xlstm_module_quantize()). bfloat16
 * matrices of a file are neither copied nor read before they are used: the module maps them, and processes
 * share them. While it lives, such a file must not be truncated or written in place, which would change the
 * weights under it or end the process (SIGBUS); replacing it by another of its name, as all writers here do,
 * or removing it, is safe. Where the file's size or time has changed, creating a session or trainer, and
 * saving, return XLSTM_E_IO.
 *  @param out receives the module: yours, NULL on failure; free it with xlstm_module_free()
 *  @param directory as the top of this page says
 *  @param weights in which type matrices are kept, whatever the file has
 *  @return as xlstm_module_load() */
XLSTM_API xlstm_status xlstm_module_load_as(xlstm_module **out, const char *directory, xlstm_weights weights);
/** Replaces all weights of a module by those of one safetensors file. Names may be of any spelling: fused or
 *  single matrices, Hugging Face's, either layout of the sLSTM's recurrent matrix. Nothing is changed on
 *  failure.
 *  @param module any, also a cell or a block; no session or trainer of it may be running
 *  @param path a safetensors file
 *  @return XLSTM_OK; XLSTM_E_FORMAT with the name of the first tensor that is missing, unknown, given twice
 * or of another shape; XLSTM_E_IO; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT */
XLSTM_API xlstm_status xlstm_module_load_weights(xlstm_module *module, const char *path);
/** Writes config.json and weights (`weights.safetensors` for the paper's family, else `model.safetensors`)
 *  into a directory, which is created if it is not there. Loading them again gives the same bits.
 *
 * Both files are written beside, as "Writing files" says, and brought to the disk before either is renamed,
 * the weights first; where the second cannot be, the first is put back. A failing call leaves the model that
 * was there. No file system renames two files in one step: a program or machine that is killed between the
 * two leaves new weights beside the old config.json. Then, if the two configurations compute the same, the
 * new model is there; else xlstm_module_load() refuses the directory, and the next save mends it.
 *  @param module a whole model
 *  @param directory where to, or a link to it; files of the same names are replaced
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for a bare cell or block, and for 8-bit matrices; XLSTM_E_IO also when
 * the directory holds weights under another name (shards with their index too), which would be found first,
 * and for anything but regular files; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_module_save(const xlstm_module *module, const char *directory);
/** Writes the weights alone, for xlstm_module_load_weights().
 *  @param module any, also a cell or a block
 *  @param path a safetensors file; written as "Writing files" says
 *  @return XLSTM_OK; XLSTM_E_ARGUMENT for 8-bit matrices, or for a parameter that the module's spelling has
 * no place for; XLSTM_E_IO; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_module_save_weights(const xlstm_module *module, const char *path);

/** Writes one file as all writers here do (see "Writing files" at the top of this page): whole or not at all.
 *  @param path where to
 *  @param bytes [count]; may be NULL if count is 0
 *  @param count how many
 *  @return XLSTM_OK; XLSTM_E_IO when it cannot be written; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_file_write(const char *path, const void *bytes, size_t count);
/** Whether a file could be written there now, for who wants to know before the work. Nothing is opened or
 *  changed, so a full disk, or a pipe that nobody reads, is found only when it is written.
 *  @param path as of xlstm_file_write()
 *  @return XLSTM_OK; XLSTM_E_IO with the reason: no such folder, a directory, not allowed, a name that is too
 * long; XLSTM_E_MEMORY; XLSTM_E_ARGUMENT for NULL */
XLSTM_API xlstm_status xlstm_file_writable(const char *path);

/** What tensor `like` of a weights file holds when the parameters hold `values`, for instance the gradients
 *  that xlstm_trainer_read_gradients() copied out of a trainer: gathers fused rows and turns layouts.
 *  @param module whose parameters
 *  @param like its name and shape say which tensor; its data is not looked at
 *  @param values [xlstm_module_layout_size()] numbers, each parameter's at its offset; an array of the
 * caller's. What lies in the gaps is not looked at
 *  @param out [like->count]
 *  @return XLSTM_OK; XLSTM_E_NOT_FOUND for a name that no parameter answers to; XLSTM_E_FORMAT for another
 * shape; XLSTM_E_ARGUMENT for NULL, or for a module with matrices in a smaller type, which have no offsets */
XLSTM_API xlstm_status xlstm_module_gather(const xlstm_module *module, const xlstm_tensor *like,
                                           const xlstm_real *values, xlstm_real *out);

#ifdef __cplusplus
}
#endif

#endif
