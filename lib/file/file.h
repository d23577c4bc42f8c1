/* file.h - whole files: mapped for reading, replaced at once when written. */
#ifndef XL_FILE_H
#define XL_FILE_H

#include "base/error.h"
#include <stdio.h>

typedef struct {
    const char *data; /* NULL if the file is empty */
    size_t size;
} xl_file_map;

xlstm_status xl_file_map_open(xl_file_map *map, const char *path);
void xl_file_map_close(xl_file_map *map);

/* A file being written beside `path`, as path.tmp: commit makes it the file of that name once it is on the
 * disk, drop removes it. Until then, and if anything fails, what `path` holds is untouched. What a killed
 * process left beside is written over, so that no such files pile up; one that is still being written is
 * waited for. */
typedef struct {
    FILE *f;
    char *path, *beside;
    int error; /* errno of the first write that failed; commit reports it */
} xl_file_replace;

xlstm_status xl_file_replace_open(xl_file_replace *r, const char *path);
void xl_file_replace_put(xl_file_replace *r, const void *bytes, size_t count);
xlstm_status xl_file_replace_commit(xl_file_replace *r);
void xl_file_replace_drop(xl_file_replace *r);

/* dir/name in fresh memory; NULL when there is none. */
char *xl_path_join(const char *dir, const char *name);
int xl_path_exists(const char *path);
/* Surely: an answer other than that there is no such file does not count. */
int xl_path_is_free(const char *path);
int xl_path_is_dir(const char *path);

#endif
