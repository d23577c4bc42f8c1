/* Who opens a file finds the old one or the new one whole, also after a crash: it is written beside, brought
 * to the disk, and renamed. Those who have mapped the old one keep it. */
#include "file/file.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static xlstm_status failed(const char *what, const char *path) {
    return xl_fail(XLSTM_E_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static xlstm_status map_fd(xl_file_map *map, int fd, const char *path) {
    struct stat st;
    if (fstat(fd, &st))
        return failed("look at it", path);
    if (!S_ISREG(st.st_mode))
        return xl_fail(XLSTM_E_IO, "%s: is not a regular file", path);
    if (st.st_size == 0)
        return XLSTM_OK;
    void *p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED && errno == ENOMEM)
        return xl_no_memory(st.st_size, "the addresses of a mapped file");
    if (p == MAP_FAILED)
        return failed("map it", path);
    *map = (xl_file_map){p, st.st_size};
    xl_log(XLSTM_LOG_INFO, "mapped %s, %.1f MiB", path, xl_mib(map->size));
    return XLSTM_OK;
}

xlstm_status xl_file_map_open(xl_file_map *map, const char *path) {
    *map = (xl_file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer would be waited for */
    if (fd < 0)
        return failed("open it", path);
    xlstm_status status = map_fd(map, fd, path);
    close(fd);
    return status;
}

void xl_file_map_close(xl_file_map *map) {
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (xl_file_map){0};
}

/* Whether the open file still has this name: another writer may have renamed it while we waited. */
static int has_name(int fd, const char *name) {
    struct stat open_file, named;
    return !fstat(fd, &open_file) && !lstat(name, &named) && open_file.st_ino == named.st_ino &&
           open_file.st_dev == named.st_dev;
}

/* The lock goes with the process, however that ends. Where files cannot be locked, or have no lasting
 * numbers, it is done without. */
static int open_locked(const char *name) {
    for (int tries = 1;; tries++) {
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0)
            return -1;
        while (flock(fd, LOCK_EX) && errno == EINTR)
            ;
        if (has_name(fd, name) || tries == 100)
            return fd;
        close(fd);
    }
}

static FILE *open_empty(const char *name) {
    int fd = open_locked(name);
    FILE *f = fd < 0 || ftruncate(fd, 0) ? NULL : fdopen(fd, "wb");
    if (!f && fd >= 0) {
        int error = errno;
        close(fd);
        errno = error;
    }
    return f;
}

xlstm_status xl_file_replace_open(xl_file_replace *r, const char *path) {
    size_t length = strlen(path) + sizeof ".tmp";
    *r = (xl_file_replace){.path = xl_strdup(path), .beside = xl_alloc(length)};
    if (!r->path || !r->beside) {
        xl_file_replace_drop(r);
        return xl_no_memory(length, "a file name");
    }
    snprintf(r->beside, length, "%s.tmp", path);
    r->f = open_empty(r->beside);
    if (r->f)
        return XLSTM_OK;
    xlstm_status status = failed("write", r->beside);
    xl_file_replace_drop(r);
    return status;
}

void xl_file_replace_put(xl_file_replace *r, const void *bytes, size_t count) {
    if (!r->error && count && fwrite(bytes, 1, count, r->f) != count)
        r->error = errno ? errno : EIO;
}

/* Removed before the lock goes with closing: later the name may be another writer's. */
void xl_file_replace_drop(xl_file_replace *r) {
    if (r->f) {
        assert(r->beside);
        unlink(r->beside);
        fclose(r->f);
    }
    xl_free(r->beside);
    xl_free(r->path);
    *r = (xl_file_replace){0};
}

/* The rename itself must reach the disk too; where directories cannot be synced that is no failure. The path
 * is cut where its directory ends: a copy could be refused, and the file would be less safe for it. */
static void sync_directory(char *path) {
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = 0;
    int fd = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

xlstm_status xl_file_replace_commit(xl_file_replace *r) {
    if (!r->error && (fflush(r->f) || fsync(fileno(r->f)) || rename(r->beside, r->path)))
        r->error = errno;
    if (r->error) {
        xlstm_status status = xl_fail(XLSTM_E_IO, "%s: cannot write it: %s; what was there is unchanged",
                                      r->path, strerror(r->error));
        xl_file_replace_drop(r);
        return status;
    }
    sync_directory(r->path);
    fclose(r->f);
    r->f = NULL;
    xl_file_replace_drop(r);
    return XLSTM_OK;
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

int xl_path_is_free(const char *path) {
    struct stat st;
    return stat(path, &st) && (errno == ENOENT || errno == ENOTDIR);
}

int xl_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
