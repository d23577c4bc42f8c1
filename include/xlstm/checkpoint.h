/** @file
 * Checkpoints: a training run in one file, from which it goes on as if it had never stopped, bit for bit.
 *
 * What is saved: weights, the optimizer's moments and count of updates, the trainer's carried state, its
 * position in the dropout masks (seed and count of training calls), gradients that were added up and not yet
 * used, and a block of bytes of your own (position in the data, best loss so far, ...). What is not saved is
 * yours to give again when creating: sizes, and settings that one may change between two parts of a run:
 * learning rate, betas, clipping, weight decay, dropout rates, longest window, chunk_size, threads.
 *
 * Files are replaced at once: written beside, brought to the disk, then renamed, as xlstm/io.h says under
 * "Writing files". Killing the program or the machine at any moment leaves the old or the new checkpoint.
 * Every byte is under a CRC-32, which loading checks before it changes anything. A file is one of
 * safetensors, readable by any reader of those; docs/checkpoints.md says what is in it.
 */
#ifndef XLSTM_CHECKPOINT_H
#define XLSTM_CHECKPOINT_H

#include "xlstm/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Writes a checkpoint. Call it between two steps; a forward that waits for xlstm_trainer_backward_from() is
 * not saved.
 *  @param path of the file, which is replaced at once, or of a link to it; its folder must be there
 *  @param trainer whose run it is, and whose module
 *  @param optimizer of the same module; NULL if you have one of your own, whose numbers belong into `user`
 *  @param user [user_bytes] bytes of your own, kept as they are: use types of fixed width; NULL: none
 *  @param user_bytes how many
 *  @return XLSTM_OK; XLSTM_E_IO when it cannot be written (disk full, no such folder, no regular file): the
 * old checkpoint is untouched, nothing is left beside it; XLSTM_E_FORMAT when `path` holds something that is
 * no checkpoint, or one whose header is damaged: that is not written over; XLSTM_E_ARGUMENT, also for an
 * optimizer of another module and for matrices in a smaller type; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_checkpoint_save(const char *path, const xlstm_trainer *trainer,
                                             const xlstm_optimizer *optimizer, const void *user,
                                             size_t user_bytes);

/** Puts a run back to where it was saved: into the trainer, its module and the optimizer, which were created
 * as then. Gradients are those of the file, or zero; the trainer's seed is that of the file; a forward that
 * waits for its backward is forgotten. Sessions over the module must not run meanwhile. Anything but XLSTM_OK
 * leaves trainer, module, optimizer and `user` untouched.
 *  @param path of the file
 *  @param trainer of a module of the same configuration; with carried state, of the same batch
 *  @param optimizer of the same module and kind; NULL: its moments are not wanted
 *  @param user receives the bytes given when saving; NULL: they are not wanted
 *  @param user_bytes room in `user`; must be what was saved
 *  @return XLSTM_OK; XLSTM_E_NOT_FOUND when there is no file of that name (a run that begins); XLSTM_E_IO
 * when it cannot be read; XLSTM_E_FORMAT with what is damaged when any bit of it is not as it was written;
 * XLSTM_E_CONFIG with what differs when it belongs to another model, kind of optimizer, number of carried
 * streams, size of `user` or number type; XLSTM_E_ARGUMENT; XLSTM_E_MEMORY */
XLSTM_API xlstm_status xlstm_checkpoint_load(const char *path, xlstm_trainer *trainer,
                                             xlstm_optimizer *optimizer, void *user, size_t user_bytes);

/** What a checkpoint says without being loaded. */
typedef struct xlstm_checkpoint_info {
    size_t struct_size; /**< set it to sizeof(xlstm_checkpoint_info) before the call */
    int64_t steps;      /**< updates made: xlstm_optimizer_steps(); 0 if saved without an optimizer */
    int64_t calls;      /**< training calls made: xlstm_trainer_backward() and xlstm_trainer_forward() */
    size_t user_bytes;  /**< bytes of your own */
} xlstm_checkpoint_info;

/** Reads the header, and your own bytes, of a checkpoint of any model. Fast: weights and moments are not
 * looked at, and so not checked either.
 *  @param path of the file
 *  @param info receives what the header says; may be NULL
 *  @param user receives the bytes given when saving; NULL: they are not wanted
 *  @param user_bytes room in `user`; must be what was saved
 *  @return as xlstm_checkpoint_load() */
XLSTM_API xlstm_status xlstm_checkpoint_peek(const char *path, xlstm_checkpoint_info *info, void *user,
                                             size_t user_bytes);

#ifdef __cplusplus
}
#endif

#endif
