/* file.h - whole files: mapped for reading, replaced at once when written. */
#ifndef XL_FILE_H
#define XL_FILE_H

#include "base/error.h"
#include <sys/stat.h>

typedef struct {
    const char *data; /* NULL if the file is empty */
    size_t size;
    struct stat was;
} xl_file_map;

xlstm_status xl_file_map_open(xl_file_map *map, const char *path);
void xl_file_map_close(xl_file_map *map);
/* Mapped bytes that were read and are not needed soon: they stay there, but take no memory until then. */
void xl_file_forget(const void *data, size_t bytes);
/* Is what is mapped still what was opened? Reading pages that a file has lost ends the process, and pages
 * that were written since are not what was checked. One that was replaced by another file, or removed, is as
 * it was. A look at the path, no more. */
xlstm_status xl_file_map_check(const xl_file_map *map, const char *path);

/* A file that is being written. One rule set for all writers:
 *
 * - What is a regular file, or is not there yet, is written beside, brought to the disk and renamed: until
 *   then, and if anything fails, it is untouched. Links are followed first, so that they stay; a link that
 *   leads to nothing gets its file. Mode, group and owner are those of the file that is replaced.
 * - What is another kind of thing (a device, a pipe that somebody reads, an open descriptor such as
 *   /dev/stdout) is written straight into with XL_FILE_ANY, and refused otherwise. Never waited for.
 * - The file beside is new (O_EXCL) and locked while it is written. Its name, NAME.xlstm-0.tmp or a higher
 *   number, is nobody else's: what a killed process left there is removed, if it is a regular file of ours
 *   that no one holds locked. Anything else stays where it is, and the next number is taken.
 *
 * Between open and commit or drop, which belong to one thread, its SIGXFSZ and SIGPIPE are held back: the
 * write that would have raised them fails instead. */
typedef enum { XL_FILE_REGULAR, XL_FILE_ANY } xl_file_kinds;

enum { XL_NAME_ROOM = 256 }; /* of a file's name in its folder, with the zero */

typedef struct {
    char *path;         /* as the caller spells it, for sentences */
    char *room;         /* what waits to be written */
    size_t used;        /* bytes of it */
    int fd, folder;     /* folder: -1 when written straight */
    int own_descriptor; /* what /dev/stdout and the like lead to, or -1 */
    char name[XL_NAME_ROOM], beside[XL_NAME_ROOM];
    struct stat was; /* st_mode is 0 when nothing was there */
    int holds;       /* signals */
    int error;       /* errno of the first write that failed; commit reports it */
} xl_file_replace;

xlstm_status xl_file_replace_open(xl_file_replace *r, const char *path, xl_file_kinds kinds);
void xl_file_replace_put(xl_file_replace *r, const void *bytes, size_t count);
xlstm_status xl_file_replace_commit(xl_file_replace *r);
void xl_file_replace_drop(xl_file_replace *r);
/* Commits what was put well; drops what was not, and passes the status on. */
xlstm_status xl_file_replace_end(xl_file_replace *r, xlstm_status status);
/* Two regular files: both are on the disk before the first is renamed, and the second follows
 * at once. Where it cannot, the first is put back. */
xlstm_status xl_file_replace_end_both(xl_file_replace *first, xl_file_replace *second, xlstm_status status);

/* dir/name in fresh memory; NULL when there is none. */
char *xl_path_join(const char *dir, const char *name);
int xl_path_exists(const char *path);
/* Surely: an answer other than that there is no such file does not count. */
int xl_path_is_free(const char *path);
int xl_path_is_dir(const char *path);

#endif
