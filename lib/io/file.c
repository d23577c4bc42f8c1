#include "io/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static xlstm_status failed(const char *what, const char *path) {
    return xl_fail(XLSTM_E_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static xlstm_status map_fd(xl_map *map, int fd, const char *path) {
    struct stat st;
    if (fstat(fd, &st))
        return failed("look at it", path);
    if (!S_ISREG(st.st_mode))
        return xl_fail(XLSTM_E_IO, "%s: is not a regular file", path);
    if (st.st_size == 0)
        return XLSTM_OK;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return failed("map it", path);
    *map = (xl_map){p, (size_t)st.st_size};
    return XLSTM_OK;
}

xlstm_status xl_map_open(xl_map *map, const char *path) {
    *map = (xl_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed("open it", path);
    xlstm_status status = map_fd(map, fd, path);
    close(fd);
    return status;
}

void xl_map_close(xl_map *map) {
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (xl_map){0};
}

xlstm_status xl_replace_open(xl_replace *r, const char *path) {
    size_t length = strlen(path) + 32;
    *r = (xl_replace){NULL, xl_strdup(path), xl_alloc(length)};
    if (!r->path || !r->beside) {
        xl_replace_drop(r);
        return xl_no_memory(length, "a file name");
    }
    snprintf(r->beside, length, "%s.%ld.tmp", path, (long)getpid());
    r->f = fopen(r->beside, "wb");
    if (r->f)
        return XLSTM_OK;
    xlstm_status status = failed("write", r->beside);
    r->beside[0] = 0;
    xl_replace_drop(r);
    return status;
}

void xl_replace_drop(xl_replace *r) {
    if (r->f)
        fclose(r->f);
    if (r->beside && r->beside[0])
        unlink(r->beside);
    xl_free(r->beside);
    xl_free(r->path);
    *r = (xl_replace){0};
}

/* The rename itself must reach the disk too; where directories cannot be synced that is no failure. */
static void sync_directory(const char *path) {
    char *dir = xl_strdup(path);
    if (!dir)
        return;
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    int fd = open(slash ? dir : ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    xl_free(dir);
}

xlstm_status xl_replace_commit(xl_replace *r) {
    xlstm_status status = XLSTM_OK;
    if (ferror(r->f) || fflush(r->f) || fsync(fileno(r->f)))
        status = failed("write", r->beside);
    else if (rename(r->beside, r->path))
        status = failed("replace it", r->path);
    if (status == XLSTM_OK) {
        sync_directory(r->path);
        r->beside[0] = 0;
    }
    xl_replace_drop(r);
    return status;
}

char *xl_path_join(const char *dir, const char *name) {
    size_t length = strlen(dir) + strlen(name) + 2;
    char *path = xl_alloc(length);
    if (path)
        snprintf(path, length, "%s/%s", dir, name);
    return path;
}

int xl_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

int xl_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
