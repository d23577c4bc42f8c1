/* Files are mapped, not read. One that is replaced by another of its name stays as it is for those who have
 * mapped it. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "file/file.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
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
    *map = (xl_file_map){p, st.st_size, st};
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

void xl_file_forget(const void *data, size_t bytes) {
#ifdef MADV_DONTNEED
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)data + page - 1) / page * page,
              to = ((uintptr_t)data + bytes) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
#else
    (void)data, (void)bytes;
#endif
}

xlstm_status xl_file_map_check(const xl_file_map *map, const char *path) {
    struct stat st;
    const struct stat *was = &map->was;
    if (stat(path, &st) || st.st_ino != was->st_ino || st.st_dev != was->st_dev)
        return XLSTM_OK;
    if (st.st_size == was->st_size && st.st_mtim.tv_sec == was->st_mtim.tv_sec &&
        st.st_mtim.tv_nsec == was->st_mtim.tv_nsec)
        return XLSTM_OK;
    return xl_fail(
        XLSTM_E_IO,
        "%s: was written to while it was mapped; replace such a file by another one, and load it anew", path);
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
