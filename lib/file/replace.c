/* Who opens a file finds the old one or the new one whole, also after a crash. Those who have mapped the old
 * one keep it. Paths, links and what lies beside may be anybody's: nothing is opened before it is looked at,
 * and what is not ours is left alone. */
#include "base/mem.h"
#include "file/file.h"
#include "file/utf8.h"
#include "xlstm/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/xattr.h>
#endif

enum {
    ROOM = 1 << 16,
    MOST_LINKS = 40,
    SLOTS = 100,
    LONGEST_BESIDE = 100,
    PERMISSIONS = 0777,
    STICKY = 01000
};

static xlstm_status failed(const char *path, const char *why) {
    return xl_fail(XLSTM_E_IO, "%s: cannot write it: %s", path, why);
}

/* ---- signals ---- */

/* A write beyond the limit of a file's size, or into a pipe that nobody reads any more, raises a signal that
 * ends a process by default. Both go to the thread that writes, so it can block and take them. */
static _Thread_local struct {
    int depth;
    sigset_t before, ours; /* ours: those that were not waiting already */
} held;

static void hold_signals(void) {
    static const int those[] = {SIGXFSZ, SIGPIPE};
    sigset_t block, pending;
    if (held.depth++)
        return;
    sigemptyset(&block);
    sigemptyset(&held.ours);
    sigpending(&pending);
    for (int i = 0; i < 2; i++) {
        sigaddset(&block, those[i]);
        if (!sigismember(&pending, those[i]))
            sigaddset(&held.ours, those[i]);
    }
    pthread_sigmask(SIG_BLOCK, &block, &held.before);
}

static void release_signals(void) {
    if (--held.depth)
        return;
    while (sigtimedwait(&held.ours, NULL, &(struct timespec){0, 0}) > 0 || errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &held.before, NULL);
}

/* ---- what a path leads to ---- */

/* The file beside a folder's or file's path that a link's text means; takes `path`. NULL without memory. */
static char *follow(char *path, const char *text) {
    char *slash = strrchr(path, '/'), *to = NULL;
    if (*text == '/' || !slash)
        to = xl_strdup(text);
    else {
        slash[slash == path] = 0;
        to = xl_path_join(path, text);
    }
    xl_free(path);
    return to;
}

/* The number of an open descriptor of ours, or -1. */
static int descriptor_of(const char *path) {
    static const char *const places[] = {"/dev/fd/%d%n", "/proc/self/fd/%d%n"};
    for (int i = 0, fd = -1, end = 0; i < 2; i++)
        if (sscanf(path, places[i], &fd, &end) == 1 && !path[end] && fd >= 0)
            return fd;
    return -1;
}

/* *path becomes what it leads to through links at its end. The system has followed them before, and said
 * where it must not. */
static xlstm_status resolve(char **path) {
    char *text = xl_alloc(PATH_MAX);
    for (int links = 0; text && *path && links < MOST_LINKS && descriptor_of(*path) < 0; links++) {
        ssize_t length = readlink(*path, text, PATH_MAX - 1);
        if (length < 0)
            break;
        text[length] = 0;
        *path = follow(*path, text);
    }
    int complete = text && *path;
    xl_free(text);
    return complete ? XLSTM_OK : xl_no_memory(PATH_MAX, "a file name");
}

/* Its folder is opened, so that all that follows happens there, wherever the process or the folder goes. */
static xlstm_status open_folder(xl_file_replace *r, char *path) {
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strlen(name) >= sizeof r->name)
        return failed(r->path, strerror(ENAMETOOLONG));
    if (!*name)
        return failed(r->path, "the name of a file is needed, and this is none");
    strcpy(r->name, name);
    if (slash)
        slash[slash == path] = 0;
    r->folder = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return r->folder < 0 ? failed(r->path, strerror(errno)) : XLSTM_OK;
}

/* What has the name in the folder counts: another writer may have replaced the file since. */
static xlstm_status look_again(xl_file_replace *r) {
    struct stat st;
    if (fstatat(r->folder, r->name, &st, AT_SYMLINK_NOFOLLOW))
        return !r->was.st_mode && errno == ENOENT ? XLSTM_OK : failed(r->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return failed(r->path, "somebody is changing what it leads to");
    r->was = st;
    return XLSTM_OK;
}

/* What is there, or would be: `was`, and the folder and the name in it, or the descriptor. */
static xlstm_status find(xl_file_replace *r) {
    if (stat(r->path, &r->was)) {
        if (errno != ENOENT || !*r->path)
            return failed(r->path, *r->path ? strerror(errno) : "the path is empty");
        r->was.st_mode = 0;
    }
    if (S_ISDIR(r->was.st_mode))
        return failed(r->path, "it is a directory; give the name of a file");
    char *path = xl_strdup(r->path);
    xlstm_status status = path ? resolve(&path) : xl_no_memory(0, "a file name");
    if (status == XLSTM_OK && r->was.st_mode)
        r->own_descriptor = descriptor_of(path);
    if (status == XLSTM_OK && r->own_descriptor < 0 && (!r->was.st_mode || S_ISREG(r->was.st_mode)))
        status = open_folder(r, path);
    xl_free(path);
    return status == XLSTM_OK && r->folder >= 0 ? look_again(r) : status;
}

static int is_straight(const xl_file_replace *r) {
    return r->folder < 0;
}

/* Whole disks are nobody's files. */
static xlstm_status check_straight(const xl_file_replace *r) {
    int flags = r->own_descriptor < 0 ? 0 : fcntl(r->own_descriptor, F_GETFL);
    if (r->own_descriptor >= 0)
        return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY ? XLSTM_OK
                                                             : failed(r->path, "it is open for reading");
    if (!S_ISCHR(r->was.st_mode) && !S_ISFIFO(r->was.st_mode))
        return failed(r->path, "it is neither a regular file, nor a pipe or a character device");
    return faccessat(AT_FDCWD, r->path, W_OK, AT_EACCESS) ? failed(r->path, strerror(errno)) : XLSTM_OK;
}

/* Only owners replace what is in a folder such as /tmp. */
static int is_kept_by_others(const xl_file_replace *r) {
    struct stat folder;
    uid_t me = geteuid();
    return !fstat(r->folder, &folder) && (folder.st_mode & STICKY) && me && me != folder.st_uid &&
           me != r->was.st_uid;
}

/* May it be replaced? A file that may not be written is not replaced either. */
static xlstm_status check_allowed(const xl_file_replace *r) {
    if (is_straight(r))
        return check_straight(r);
    if (faccessat(r->folder, ".", W_OK | X_OK, AT_EACCESS))
        return xl_fail(XLSTM_E_IO, "%s: cannot write it: its folder takes no files: %s", r->path,
                       strerror(errno));
    if (!r->was.st_mode)
        return XLSTM_OK;
    if (faccessat(r->folder, r->name, W_OK, AT_EACCESS))
        return failed(r->path, strerror(errno));
    return is_kept_by_others(r)
               ? failed(r->path, "it is somebody else's, in a folder where only owners replace files")
               : XLSTM_OK;
}

/* ---- beside ---- */

/* A long name is cut, so that there is room for the end; others that are cut to the same take turns. */
static void name_beside(const xl_file_replace *r, char name[XL_NAME_ROOM], const char *end) {
    size_t length = strlen(r->name);
    int kept = (int)xl_utf8_sound(r->name, length < LONGEST_BESIDE ? length : LONGEST_BESIDE);
    snprintf(name, XL_NAME_ROOM, "%.*s.xlstm-%s.tmp", kept, r->name, end);
}

/* Whether the open file still has this name. */
static int has_name(const xl_file_replace *r, int fd, const char *name) {
    struct stat open_file, named;
    return !fstat(fd, &open_file) && !fstatat(r->folder, name, &named, AT_SYMLINK_NOFOLLOW) &&
           open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

/* The lock goes with the process, however that ends. Where files cannot be locked it is done without. */
static int lock(int fd) {
    return !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
}

static int is_ours(const xl_file_replace *r, int fd) {
    struct stat st;
    return !fstat(fd, &st) && S_ISREG(st.st_mode) &&
           (st.st_uid == geteuid() || (r->was.st_mode && st.st_uid == r->was.st_uid));
}

/* Removes what a killed process of ours left beside. */
static int remove_leftover(const xl_file_replace *r, const char *name) {
    struct stat st;
    if (fstatat(r->folder, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return 0;
    int fd = openat(r->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return 0;
    int removed = is_ours(r, fd) && lock(fd) && has_name(r, fd, name) && !unlinkat(r->folder, name, 0);
    close(fd);
    return removed;
}

/* -1 with errno. Of a private file nobody else may read what is still beside. */
static int create(const xl_file_replace *r) {
    return openat(r->folder, r->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  r->was.st_mode ? 0600 : 0666);
}

/* Locked and empty; -1 with errno, EEXIST where the name is taken. */
static int create_locked(const xl_file_replace *r) {
    int fd = create(r);
    if (fd < 0 && errno == EEXIST) {
        int removed = remove_leftover(r, r->beside);
        errno = EEXIST;
        fd = removed ? create(r) : -1;
    }
    if (fd < 0 || (lock(fd) && has_name(r, fd, r->beside)))
        return fd;
    close(fd); /* another writer took it for a leftover before it was locked, and removes it */
    errno = EEXIST;
    return -1;
}

static xlstm_status open_beside(xl_file_replace *r) {
    char number[16];
    for (int slot = 0; slot < SLOTS; slot++) {
        snprintf(number, sizeof number, "%d", slot);
        name_beside(r, r->beside, number);
        r->fd = create_locked(r);
        if (r->fd >= 0)
            return XLSTM_OK;
        if (errno != EEXIST)
            return failed(r->path, strerror(errno));
    }
    return xl_fail(XLSTM_E_IO, "%s: cannot write it: %s and all before it are taken; remove them", r->path,
                   r->beside);
}

/* A pipe without a reader is not waited for; one that is read may be slow. */
static xlstm_status open_straight(xl_file_replace *r) {
    r->fd = r->own_descriptor < 0 ? open(r->path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
                                  : fcntl(r->own_descriptor, F_DUPFD_CLOEXEC, 3);
    if (r->fd < 0)
        return failed(r->path, errno == ENXIO ? "nobody reads from it" : strerror(errno));
    return XLSTM_OK;
}

static xlstm_status open_target(xl_file_replace *r, xl_file_kinds kinds) {
    XL_TRY(find(r));
    if (is_straight(r) && kinds == XL_FILE_REGULAR)
        return failed(r->path, "it is not a regular file");
    XL_TRY(check_allowed(r));
    return is_straight(r) ? open_straight(r) : open_beside(r);
}

static xlstm_status begin(xl_file_replace *r, const char *path) {
    *r = (xl_file_replace){
        .path = xl_strdup(path), .room = xl_alloc(ROOM), .fd = -1, .folder = -1, .own_descriptor = -1};
    return r->path && r->room ? XLSTM_OK : xl_no_memory(ROOM, "writing a file");
}

xlstm_status xl_file_replace_open(xl_file_replace *r, const char *path, xl_file_kinds kinds) {
    xlstm_status status = begin(r, path);
    hold_signals();
    r->holds = 1;
    if (status == XLSTM_OK)
        status = open_target(r, kinds);
    if (status != XLSTM_OK)
        xl_file_replace_drop(r);
    return status;
}

/* ---- writing ---- */

/* 0, or errno. */
static int write_all(int fd, const char *bytes, size_t count) {
    while (count) {
        ssize_t n = write(fd, bytes, count);
        if (n > 0)
            bytes += n, count -= (size_t)n;
        else if (n == 0)
            return EIO;
        else if (errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

static void flush(xl_file_replace *r) {
    if (!r->error && r->used)
        r->error = write_all(r->fd, r->room, r->used);
    r->used = 0;
}

void xl_file_replace_put(xl_file_replace *r, const void *bytes, size_t count) {
    if (count > ROOM - r->used)
        flush(r);
    if (count > ROOM) {
        if (!r->error)
            r->error = write_all(r->fd, bytes, count);
    } else if (count) {
        memcpy(r->room + r->used, bytes, count);
        r->used += count;
    }
}

/* Removed before the lock goes with closing: later the name may be another writer's. */
void xl_file_replace_drop(xl_file_replace *r) {
    if (r->fd >= 0 && !is_straight(r) && has_name(r, r->fd, r->beside))
        unlinkat(r->folder, r->beside, 0);
    if (r->fd >= 0)
        close(r->fd);
    if (r->folder >= 0)
        close(r->folder);
    if (r->holds)
        release_signals();
    xl_free(r->room);
    xl_free(r->path);
    *r = (xl_file_replace){.fd = -1, .folder = -1};
}

/* ---- the end ---- */

/* Whether the access list of what is replaced is kept, or there is none. Without its list, the middle bits of
 * a mode would be rights of the group, which may have had fewer. */
static int keep_access_list(const xl_file_replace *r) {
#ifdef __linux__
    static const char list[] = "system.posix_acl_access";
    int was = openat(r->folder, r->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t bytes = was < 0 ? -1 : fgetxattr(was, list, r->room, ROOM);
    int kept = was >= 0 && (bytes < 0 ? errno == ENODATA || errno == EOPNOTSUPP
                                      : !fsetxattr(r->fd, list, r->room, (size_t)bytes, 0));
    if (was >= 0)
        close(was);
    return kept;
#else
    (void)r;
    return 1;
#endif
}

static int keep_group(const xl_file_replace *r) {
    return !fchown(r->fd, r->was.st_uid, r->was.st_gid) || !fchown(r->fd, (uid_t)-1, r->was.st_gid);
}

/* Mode and owner of what is replaced; only root may give files away, others go on with their own. Where the
 * group or the list cannot be kept either, others get no right by it. */
static int take_over(const xl_file_replace *r) {
    mode_t mode = r->was.st_mode & PERMISSIONS;
    if (!r->was.st_mode)
        return 0;
    if (!keep_group(r) || !keep_access_list(r))
        mode &= ~(mode_t)070 | (mode & 07) << 3;
    return fchmod(r->fd, mode) ? errno : 0;
}

/* Somebody may have been here meanwhile. */
static int check_still(const xl_file_replace *r) {
    struct stat st;
    if (!has_name(r, r->fd, r->beside))
        return ENOENT;
    if (fstatat(r->folder, r->name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : errno;
    return S_ISREG(st.st_mode) ? 0 : EEXIST;
}

/* All that can fail but the rename. */
static void finish(xl_file_replace *r) {
    flush(r);
    if (is_straight(r) || r->error)
        return;
    r->error = take_over(r);
    if (!r->error && fsync(r->fd))
        r->error = errno;
    if (!r->error)
        r->error = check_still(r);
}

static void put_in_place(xl_file_replace *r) {
    if (!r->error && renameat(r->folder, r->beside, r->folder, r->name))
        r->error = errno;
}

static void close_straight(xl_file_replace *r) {
    if (close(r->fd) && !r->error)
        r->error = errno;
    r->fd = -1;
}

static xlstm_status report(const xl_file_replace *r, int changed) {
    return r->error ? xl_fail(XLSTM_E_IO, "%s: cannot write it: %s%s", r->path, strerror(r->error),
                              changed ? "" : "; what was there is unchanged")
                    : XLSTM_OK;
}

xlstm_status xl_file_replace_commit(xl_file_replace *r) {
    int straight = is_straight(r);
    finish(r);
    if (straight)
        close_straight(r);
    else
        put_in_place(r);
    if (!straight && !r->error)
        fsync(r->folder); /* the rename too; where folders cannot be synced that is no failure */
    xlstm_status status = report(r, straight);
    xl_file_replace_drop(r);
    return status;
}

xlstm_status xl_file_replace_end(xl_file_replace *r, xlstm_status status) {
    if (status == XLSTM_OK)
        return xl_file_replace_commit(r);
    xl_file_replace_drop(r);
    return status;
}

/* A second name for what is going to be replaced, by which it can be put back; where there can be none, it
 * is done without. */
static int keep(const xl_file_replace *r, char name[XL_NAME_ROOM]) {
    name_beside(r, name, "old");
    remove_leftover(r, name);
    return r->was.st_mode && !linkat(r->folder, r->name, r->folder, name, 0);
}

/* Returns whether the folder is as it was. */
static int put_back(const xl_file_replace *r, const char *kept) {
    if (!r->was.st_mode)
        return !unlinkat(r->folder, r->name, 0);
    return kept && !renameat(r->folder, kept, r->folder, r->name);
}

/* Nothing but two renames, so that little time is between them. */
static xlstm_status put_both_in_place(xl_file_replace *first, xl_file_replace *second) {
    char old[XL_NAME_ROOM];
    int kept = keep(first, old), changed = 0;
    put_in_place(first);
    if (!first->error) {
        put_in_place(second);
        changed = second->error && !put_back(first, kept ? old : NULL);
    }
    if (kept && !second->error) /* else it is in its place again, or all that is left */
        unlinkat(first->folder, old, 0);
    fsync(first->folder);
    fsync(second->folder); /* links may lead to two */
    return report(first->error ? first : second, changed);
}

xlstm_status xl_file_replace_end_both(xl_file_replace *first, xl_file_replace *second, xlstm_status status) {
    if (status == XLSTM_OK) {
        finish(first);
        finish(second);
        status = report(first->error ? first : second, 0);
    }
    if (status == XLSTM_OK)
        status = put_both_in_place(first, second);
    xl_file_replace_drop(second);
    xl_file_replace_drop(first);
    return status;
}

/* ---- for programs ---- */

xlstm_status xlstm_file_write(const char *path, const void *bytes, size_t count) {
    if (!path || (count && !bytes))
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_file_write needs a path and the bytes; one of them is NULL");
    xl_file_replace file;
    XL_TRY(xl_file_replace_open(&file, path, XL_FILE_ANY));
    xl_file_replace_put(&file, bytes, count);
    return xl_file_replace_commit(&file);
}

xlstm_status xlstm_file_writable(const char *path) {
    if (!path)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_file_writable needs a path; it is NULL");
    xl_file_replace file;
    xlstm_status status = begin(&file, path);
    if (status == XLSTM_OK)
        status = find(&file);
    if (status == XLSTM_OK)
        status = check_allowed(&file);
    xl_file_replace_drop(&file);
    return status;
}
