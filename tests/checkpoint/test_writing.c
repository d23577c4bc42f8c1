/* Writing files: every writer of the library follows one rule set, whatever lies at the path and beside it,
 * whoever owns it, and wherever the writing is cut short. As root, what root may always do is tried as nobody
 * as well. */
#define _DEFAULT_SOURCE /* mknod, setgroups */
#include "base/mem.h"
#include "file/file.h"
#include "file/safetensors.h"
#include "file/utf8.h"
#include "support/copies.h"
#include "support/training_run.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum { NOBODY = 65534 };

static char folder[64];
static training_run run;
static xlstm_module *models[2]; /* of the same shapes, that compute something else */
static xlstm_tokenizer *words;

static char *in(const char *name) {
    static char path[512][400];
    static int next;
    char *p = path[next++ % 512];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

/* ---- the writers ---- */

static xlstm_status write_tensors(const char *path) {
    static const float numbers[3000];
    xlstm_tensor t = {.name = "x", .dtype = XLSTM_F32, .ndim = 1, .shape = {3000}, .data = numbers};
    return xlstm_tensors_write(path, &t, 1);
}

static xlstm_status write_weights(const char *path) {
    return xlstm_module_save_weights(models[0], path);
}

static xlstm_status write_config(const char *path) {
    return xlstm_config_save(xlstm_module_config(models[0]), path);
}

static xlstm_status write_words(const char *path) {
    return xlstm_tokenizer_save(words, path);
}

static xlstm_status write_bytes(const char *path) {
    return xlstm_file_write(path, "some bytes", 10);
}

static xlstm_status write_checkpoint(const char *path) {
    return xlstm_checkpoint_save(path, run.tr, run.opt, "mine", 4);
}

enum { CHECKPOINT = 5, WRITERS };
static xlstm_status (*const writers[WRITERS])(const char *) = {
    write_tensors, write_weights, write_config, write_words, write_bytes, write_checkpoint};

static void ok(xlstm_status status) {
    if (status)
        fail_msg("%d: %s", status, xlstm_last_error());
}

/* Refused in a sentence that names the path and says why. */
static void refused(xlstm_status status, const char *path, const char *why) {
    const char *said = xlstm_last_error();
    if (status != XLSTM_E_IO || strncmp(said, path, strlen(path)) || !strstr(said, why))
        fail_msg("expected \"%s: ... %s\", got %d \"%s\"", path, why, status, said);
}

/* ---- what lies in a folder ---- */

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int holds(const char *path, const char *text) {
    size_t size;
    if (access(path, R_OK))
        return 0;
    char *bytes = read_file(path, &size);
    int same = size == strlen(text) && !memcmp(bytes, text, size);
    free(bytes);
    return same;
}

static mode_t mode_of(const char *path) {
    struct stat st;
    return lstat(path, &st) ? 0 : st.st_mode;
}

static int entries(void) {
    DIR *d = opendir(folder);
    int count = -2; /* itself and its parent */
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void clear_at(int at) {
    DIR *d = fdopendir(at);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (unlinkat(at, e->d_name, 0) && errno == EISDIR) {
            clear_at(openat(at, e->d_name, O_RDONLY | O_DIRECTORY));
            unlinkat(at, e->d_name, AT_REMOVEDIR);
        }
    }
    closedir(d);
}

static int each_setup(void **state) {
    (void)state;
    assert_int_equal(chmod(folder, 0755), 0);
    clear_at(open(folder, O_RDONLY | O_DIRECTORY));
    alarm(60); /* nothing here waits for anything */
    return 0;
}

/* ---- in a child, where it may do harm ---- */

/* What `what` returns, run in a process of its own, as nobody if root would be allowed too much. */
static int in_child(int (*what)(void), int as_nobody) {
    pid_t child = fork();
    if (child == 0) {
        if (as_nobody && !geteuid() && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)))
            _exit(99);
        _exit(what());
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (!WIFEXITED(how))
        fail_msg("a signal ended it: %d", WTERMSIG(how));
    return WEXITSTATUS(how);
}

/* A failed condition is its line. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, xlstm_last_error());                  \
            return 1;                                                                                        \
        }                                                                                                    \
    } while (0)

/* ---- what is no regular file ---- */

/* Everything that a writer puts into a pipe, to be freed. */
static char *through_pipe(xlstm_status (*writer)(const char *), const char *pipe, size_t *size) {
    static char room[1 << 20];
    int fd = open(pipe, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    pid_t child = fork();
    if (child == 0)
        _exit(writer(pipe) != XLSTM_OK);
    int how = 0, gone = 0;
    ssize_t n = 0;
    *size = 0;
    while ((n = read(fd, room + *size, sizeof room - *size)) != 0 || !gone) {
        *size += n > 0 ? (size_t)n : 0;
        if (n <= 0 && !gone && !nanosleep(&(struct timespec){0, 100000}, NULL))
            gone = waitpid(child, &how, WNOHANG) == child;
    }
    close(fd);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    return room;
}

static void test_pipes(void **state) {
    (void)state;
    char *pipe = in("pipe");
    assert_int_equal(mkfifo(pipe, 0666), 0);
    for (int w = 0; w < WRITERS; w++) {
        refused(writers[w](pipe), pipe, w == CHECKPOINT ? "not a regular file" : "nobody reads");
        if (w == CHECKPOINT)
            continue;
        size_t straight, whole;
        ok(writers[w](in("file")));
        const char *a = through_pipe(writers[w], pipe, &straight);
        char *b = read_file(in("file"), &whole);
        assert_true(straight == whole && !memcmp(a, b, whole));
        free(b);
        assert_true(S_ISFIFO(mode_of(pipe)));
    }
    refused(xlstm_module_save(models[0], pipe), pipe, "directory");
    assert_int_equal(mkdir(in("m"), 0777), 0);
    assert_int_equal(mkfifo(in("m/config.json"), 0666), 0);
    refused(xlstm_module_save(models[0], in("m")), in("m/config.json"), "not a regular file");
    assert_true(S_ISFIFO(mode_of(in("m/config.json"))));
    ok(xlstm_file_writable(pipe));
    assert_int_equal(entries(), 3);
}

/* The reader goes away in the middle: no signal, a sentence. */
static int write_to_a_leaving_reader(void) {
    static char much[1 << 20];
    int ends[2];
    char path[32];
    signal(SIGPIPE, SIG_DFL);
    CHECK(!pipe(ends));
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    CHECK(xlstm_file_write(path, much, 10) == XLSTM_OK);
    close(ends[0]);
    CHECK(xlstm_file_write(path, much, sizeof much) == XLSTM_E_IO);
    CHECK(strstr(xlstm_last_error(), strerror(EPIPE)));
    return 0;
}

static void test_leaving_reader(void **state) {
    (void)state;
    assert_int_equal(in_child(write_to_a_leaving_reader, 0), 0);
}

static void test_devices(void **state) {
    (void)state;
    char device[64], *disk = in("disk"), *node = in("socket");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", node);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 1), 0);
    for (int w = 0; w < WRITERS; w++)
        refused(writers[w](node), node, w == CHECKPOINT ? "" : "neither a regular file");
    refused(xlstm_file_writable(node), node, "neither a regular file");
    assert_true(S_ISSOCK(mode_of(node)));
    close(fd);
    snprintf(device, sizeof device, "xlstm_device.%ld",
             (long)getpid()); /* there are no devices in /dev/shm */
    if (mknod(device, S_IFCHR | 0666, makedev(1, 3)) || mknod(disk, S_IFBLK | 0666, makedev(7, 200)))
        skip(); /* only root makes them */
    int usable = open(device, O_WRONLY) >= 0;
    for (int w = 0; w < WRITERS; w++) {
        if (w == CHECKPOINT || !usable)
            assert_int_equal(writers[w](device), XLSTM_E_IO);
        else
            ok(writers[w](device));
        refused(writers[w](disk), disk, w == CHECKPOINT ? "" : "neither a regular file");
        assert_true(S_ISCHR(mode_of(device)) && S_ISBLK(mode_of(disk)));
    }
    assert_int_equal(unlink(device), 0);
    assert_int_equal(entries(), 2);
}

/* What is open goes on where it is: nothing that stands there already is lost, and the file stays the same.
 */
static void test_open_descriptors(void **state) {
    (void)state;
    char path[32];
    struct stat before, after;
    int fd = open(in("output"), O_RDWR | O_CREAT, 0666);
    assert_int_equal(write(fd, "first ", 6), 6);
    assert_int_equal(fstat(fd, &before), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ok(xlstm_file_writable(path));
    ok(write_bytes(path));
    assert_int_equal(symlink(path, in("link")), 0); /* as /dev/stdout is one */
    ok(write_bytes(in("link")));
    assert_int_equal(write(fd, " last", 5), 5);
    assert_true(!stat(in("output"), &after) && after.st_ino == before.st_ino);
    assert_true(holds(in("output"), "first some bytessome bytes last"));
    assert_true(S_ISLNK(mode_of(in("link"))));
    assert_int_equal(write_checkpoint(path), XLSTM_E_FORMAT);
    assert_true(holds(in("output"), "first some bytessome bytes last"));
    close(fd);
    fd = open(in("output"), O_RDONLY);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    refused(write_bytes(path), path, "open for reading");
    close(fd);
    refused(write_bytes(path), path, "");
    assert_int_equal(entries(), 2);
}

/* ---- links ---- */

static void test_links(void **state) {
    (void)state;
    assert_int_equal(mkdir(in("large"), 0777), 0);
    assert_int_equal(symlink("large/second", in("first")), 0);
    assert_int_equal(symlink("../file", in("large/second")), 0);
    assert_int_equal(symlink("nowhere/file", in("lost")), 0);
    assert_int_equal(symlink("circle", in("circle")), 0);
    for (int w = 0; w < WRITERS; w++) {
        unlink(in("file"));
        for (int twice = 0; twice < 2; twice++) { /* at first it leads to nothing yet */
            ok(xlstm_file_writable(in("first")));
            ok(writers[w](in("first")));
            assert_true(S_ISLNK(mode_of(in("first"))) && S_ISLNK(mode_of(in("large/second"))));
            assert_true(S_ISREG(mode_of(in("file"))));
        }
        ok(writers[w](in("plain")));
        assert_true(same_files(in("file"), in("plain")));
        unlink(in("plain"));
        refused(writers[w](in("lost")), in("lost"), strerror(ENOENT));
        refused(writers[w](in("circle")), in("circle"), strerror(ELOOP));
    }
    refused(xlstm_file_writable(in("lost")), in("lost"), strerror(ENOENT));
    assert_int_equal(entries(), 5);
}

static void test_links_to_folders(void **state) {
    (void)state;
    xlstm_module *there;
    assert_int_equal(mkdir(in("large"), 0777), 0);
    assert_int_equal(symlink("large", in("model")), 0);
    assert_int_equal(symlink("nowhere", in("lost")), 0);
    ok(xlstm_module_save(models[0], in("model")));
    ok(xlstm_module_save(models[1], in("model")));
    assert_true(S_ISLNK(mode_of(in("model"))) && S_ISREG(mode_of(in("large/config.json"))));
    ok(xlstm_module_load(&there, in("large")));
    xlstm_module_free(there);
    refused(xlstm_module_save(models[0], in("lost")), in("lost"), "directory");
    refused(write_bytes(in("model")), in("model"), "it is a directory");
    ok(xlstm_config_save(xlstm_module_config(models[1]), in("model"))); /* its config.json */
    ok(write_checkpoint(in("model/run")));
    assert_int_equal(rename(in("large/config.json"), in("config")), 0);
    assert_int_equal(symlink("../config", in("large/config.json")), 0);
    ok(xlstm_module_save(models[0], in("model")));
    assert_true(S_ISLNK(mode_of(in("large/config.json"))));
    assert_true(xlstm_module_load(&there, in("large")) == XLSTM_OK);
    xlstm_module_free(there);
}

/* The other name keeps what was there. */
static void test_hard_links(void **state) {
    (void)state;
    put(in("file"), "old");
    assert_int_equal(link(in("file"), in("other")), 0);
    ok(write_bytes(in("file")));
    assert_true(holds(in("file"), "some bytes") && holds(in("other"), "old"));
    assert_int_equal(entries(), 2);
}

/* ---- mode and owner ---- */

static void test_modes(void **state) {
    (void)state;
    static const mode_t modes[] = {0600, 0640, 0660, 0644, 0666, 0755, 0200};
    mode_t mask = umask(0027);
    for (int w = 0; w < WRITERS; w++) {
        ok(writers[w](in("file")));
        assert_int_equal(mode_of(in("file")) & 07777, 0640);
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            if (w == CHECKPOINT && !(modes[i] & 0400))
                continue; /* it is read before it is replaced */
            assert_int_equal(chmod(in("file"), modes[i]), 0);
            ok(writers[w](in("file")));
            assert_int_equal(mode_of(in("file")) & 07777, modes[i]);
        }
        unlink(in("file"));
    }
    umask(mask);
    ok(xlstm_module_save(models[0], in("m")));
    assert_int_equal(chmod(in("m/model.safetensors"), 0600) || chmod(in("m/config.json"), 0640), 0);
    ok(xlstm_module_save(models[1], in("m")));
    assert_int_equal(mode_of(in("m/model.safetensors")) & 07777, 0600);
    assert_int_equal(mode_of(in("m/config.json")) & 07777, 0640);
}

/* Nobody reads what a private file will be while it is beside. */
static void test_private_beside(void **state) {
    (void)state;
    xl_file_replace r;
    put(in("file"), "old");
    assert_int_equal(chmod(in("file"), 0600), 0);
    ok(xl_file_replace_open(&r, in("file"), XL_FILE_REGULAR));
    xl_file_replace_put(&r, "new", 3);
    assert_int_equal(mode_of(in("file.xlstm-0.tmp")) & 0777, 0600);
    ok(xl_file_replace_commit(&r));
    assert_true(holds(in("file"), "new"));
}

/* Of a file that one more user may read, the group may not afterwards. */
static void test_access_lists(void **state) {
    (void)state;
#ifdef __linux__
    static const char name[] = "system.posix_acl_access";
    const struct {
        uint32_t version;
        struct {
            uint16_t who, rights;
            uint32_t id;
        } entry[5];
    } list = {
        2, {{1, 6, UINT32_MAX}, {2, 6, 12345}, {4, 0, UINT32_MAX}, {16, 6, UINT32_MAX}, {32, 0, UINT32_MAX}}};
    char after[sizeof list];
    put(in("file"), "old");
    if (setxattr(in("file"), name, &list, sizeof list, 0))
        skip(); /* the file system has none */
    assert_int_equal(mode_of(in("file")) & 0777, 0660);
    for (int w = 0; w < CHECKPOINT; w++) {
        ok(writers[w](in("file")));
        assert_int_equal(getxattr(in("file"), name, after, sizeof after), sizeof list);
        assert_memory_equal(after, &list, sizeof list);
        assert_int_equal(mode_of(in("file")) & 0777, 0660);
    }
#else
    skip();
#endif
}

/* Of a group that nobody is not in, its rights do not become those of nobody's group. */
static int write_as_another(void) {
    CHECK(write_bytes(in("shared")) == XLSTM_OK);
    CHECK((mode_of(in("shared")) & 0777) == 0666);
    return 0;
}

static void test_owners(void **state) {
    (void)state;
    struct stat st;
    if (geteuid())
        skip(); /* gives no files away */
    put(in("file"), "old");
    assert_int_equal(chown(in("file"), NOBODY, NOBODY) || chmod(in("file"), 0600), 0);
    for (int w = 0; w < CHECKPOINT; w++) {
        ok(writers[w](in("file")));
        assert_true(!stat(in("file"), &st) && st.st_uid == NOBODY && st.st_gid == NOBODY);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    put(in("shared"), "old");
    assert_int_equal(chmod(in("shared"), 0676) || chown(folder, NOBODY, 0), 0);
    int result = in_child(write_as_another, 1);
    assert_int_equal(chown(folder, 0, 0), 0);
    assert_int_equal(result, 0);
}

/* ---- what lies beside ---- */

static void make_pipe(const char *path) {
    assert_int_equal(mkfifo(path, 0666), 0);
}

static void make_folder_at(const char *path) {
    assert_int_equal(mkdir(path, 0777), 0);
}

static void make_link(const char *path) {
    assert_int_equal(symlink("precious", path), 0);
}

static void make_nothing(const char *path) {
    (void)path;
}

/* path.tmp is anybody's, and so is what is no file where ours would be. */
static void test_foreign_beside(void **state) {
    (void)state;
    static void (*const make[])(const char *) = {make_pipe, make_folder_at, make_link, make_nothing};
    put(in("precious"), "somebody's");
    put(in("file.tmp"), "my own notes");
    for (size_t i = 0; i < sizeof make / sizeof *make; i++)
        for (int w = 0; w < WRITERS; w++) {
            make[i](in("file.xlstm-0.tmp"));
            mode_t mode = mode_of(in("file.xlstm-0.tmp"));
            int before = entries();
            ok(writers[w](in("file")));
            assert_int_equal(mode_of(in("file.xlstm-0.tmp")), mode);
            assert_int_equal(entries(), before + 1);
            remove(in("file.xlstm-0.tmp"));
            unlink(in("file"));
        }
    assert_true(holds(in("precious"), "somebody's") && holds(in("file.tmp"), "my own notes"));
}

static int write_beside_a_foreign_file(void) {
    CHECK(write_bytes(in("file")) == XLSTM_OK);
    CHECK(holds(in("file.xlstm-0.tmp"), "root's"));
    return 0;
}

static void test_foreign_files_stay(void **state) {
    (void)state;
    if (geteuid())
        skip();
    put(in("file.xlstm-0.tmp"), "root's");
    assert_int_equal(chmod(in("file.xlstm-0.tmp"), 0666) || chmod(folder, 0777), 0);
    assert_int_equal(in_child(write_beside_a_foreign_file, 1), 0);
    assert_int_equal(entries(), 2);
}

/* Who is still writing is not a leftover, and what was left is removed. */
static void test_leftovers_and_the_living(void **state) {
    (void)state;
    xl_file_replace living;
    ok(xl_file_replace_open(&living, in("file"), XL_FILE_REGULAR));
    xl_file_replace_put(&living, "from the living", 15);
    put(in("file.xlstm-1.tmp"), "left by a killed process");
    ok(write_bytes(in("file")));
    assert_int_equal(entries(), 2); /* the file, and that of the living */
    assert_true(holds(in("file"), "some bytes"));
    ok(xl_file_replace_commit(&living));
    assert_int_equal(entries(), 1);
    assert_true(holds(in("file"), "from the living"));
}

/* What somebody took away or put there meanwhile is noticed, and nothing of theirs is lost. */
static void test_meddling(void **state) {
    (void)state;
    xl_file_replace r;
    put(in("file"), "old");
    ok(xl_file_replace_open(&r, in("file"), XL_FILE_REGULAR));
    assert_int_equal(rename(in("file.xlstm-0.tmp"), in("taken")), 0);
    put(in("file.xlstm-0.tmp"), "another's");
    refused(xl_file_replace_commit(&r), in("file"), "unchanged");
    assert_true(holds(in("file"), "old") && holds(in("file.xlstm-0.tmp"), "another's"));
    ok(xl_file_replace_open(&r, in("file"), XL_FILE_REGULAR));
    assert_int_equal(unlink(in("file")) || mkfifo(in("file"), 0666), 0);
    refused(xl_file_replace_commit(&r), in("file"), "");
    assert_true(S_ISFIFO(mode_of(in("file"))));
    assert_int_equal(entries(),
                     2); /* the taken one and the pipe: "another's" had our name, and was a file of ours */
}

static void test_long_names(void **state) {
    (void)state;
    char name[300], other[300];
    memset(name, 'n', sizeof name);
    memset(other, 'n', sizeof other);
    name[255] = other[255] = 0;
    other[254] = 'o'; /* the two begin alike */
    for (int w = 0; w < WRITERS; w++)
        for (int twice = 0; twice < 2; twice++) {
            ok(writers[w](in(name)));
            ok(writers[w](in(other)));
            assert_int_equal(entries(), 2);
            if (twice)
                unlink(in(name)), unlink(in(other));
        }
    for (int at = 60; at < 130; at++) { /* characters of several bytes are not cut */
        snprintf(name, sizeof name, "%.*s%s", at, other,
                 "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xf0\x9f\x98\x80");
        xl_file_replace r;
        ok(xl_file_replace_open(&r, in(name), XL_FILE_REGULAR));
        assert_int_equal(xl_utf8_sound(r.beside, strlen(r.beside)), strlen(r.beside));
        assert_string_equal(r.beside + strlen(r.beside) - 12, ".xlstm-0.tmp");
        xl_file_replace_drop(&r);
    }
    memset(name, 'n', sizeof name);
    name[256] = 0;
    for (int w = 0; w < WRITERS; w++)
        refused(writers[w](in(name)), in(""), strerror(ENAMETOOLONG));
    refused(xlstm_file_writable(in(name)), in(""), strerror(ENAMETOOLONG));
    assert_int_equal(entries(), 0);
}

/* ---- no room, no right ---- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* The signal, whose default ends the process, reaches nobody, and the thread's mask is as it was. */
static int write_beyond_the_limit(void) {
    sigset_t before, after, pending;
    signal(SIGXFSZ, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int w = 0; w < WRITERS; w++)
        for (int there = 0; there < 2; there++) {
            if (there && w == CHECKPOINT)
                CHECK(writers[w](in("file")) == XLSTM_OK);
            else if (there)
                put(in("file"), "what was there");
            int files = entries();
            limit_files(7);
            xlstm_status status = writers[w](in("file"));
            limit_files(RLIM_INFINITY);
            CHECK(status == XLSTM_E_IO && strstr(xlstm_last_error(), strerror(EFBIG)));
            CHECK(entries() == files);
            CHECK(!there || w == CHECKPOINT || holds(in("file"), "what was there"));
            pthread_sigmask(SIG_SETMASK, NULL, &after);
            CHECK(sigismember(&before, SIGXFSZ) == sigismember(&after, SIGXFSZ));
            CHECK(sigismember(&before, SIGPIPE) == sigismember(&after, SIGPIPE));
            CHECK(!sigpending(&pending) && !sigismember(&pending, SIGXFSZ));
            unlink(in("file"));
        }
    limit_files(7);
    xlstm_status status = xlstm_module_save(models[0], in("new"));
    limit_files(RLIM_INFINITY);
    CHECK(status == XLSTM_E_IO && access(in("new"), F_OK)); /* the folder is not left either */
    return 0;
}

static void test_limited_files(void **state) {
    (void)state;
    assert_int_equal(in_child(write_beyond_the_limit, 0), 0);
    assert_int_equal(entries(), 0);
}

static int as_root; /* some of what lies there is another's */

/* Places where nothing may be written: the question and the attempt say the same, and change nothing. */
static int try_forbidden_places(void) {
    static const struct {
        const char *name, *why;
    } places[] = {{"closed/new", "its folder takes no files"},
                  {"closed/file", "its folder takes no files"},
                  {"read_only", "Permission denied"},
                  {"sticky/theirs", "somebody else's"},
                  {"unseen/file", "Permission denied"},
                  {"none/file", "No such file"},
                  {"read_only/file", "Not a directory"},
                  {"folder", "directory"},
                  {"folder/", "directory"},
                  {"new/", "name of a file"}};
    CHECK(geteuid());
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = in(places[i].name);
        if (!as_root && (!strcmp(places[i].name, "sticky/theirs") || !strcmp(places[i].name, "unseen/file")))
            continue;
        CHECK(xlstm_file_writable(path) == XLSTM_E_IO && strstr(xlstm_last_error(), places[i].why));
        for (int w = 0; w < WRITERS; w++) {
            if (w == 2 && !strncmp(places[i].name, "folder", 6))
                continue; /* a configuration goes into a folder */
            CHECK(writers[w](path) == XLSTM_E_IO || w == CHECKPOINT);
            CHECK(w == CHECKPOINT || strstr(xlstm_last_error(), places[i].why));
        }
    }
    CHECK(xlstm_file_writable(in("sticky/mine")) == XLSTM_OK && write_bytes(in("sticky/mine")) == XLSTM_OK);
    CHECK(xlstm_file_writable(in("sticky/mine")) == XLSTM_OK && write_bytes(in("sticky/mine")) == XLSTM_OK);
    return 0;
}

static void test_forbidden_places(void **state) {
    (void)state;
    put(in("read_only"), "theirs");
    assert_int_equal(mkdir(in("closed"), 0777) || mkdir(in("sticky"), 0777) || mkdir(in("unseen"), 0777) ||
                         mkdir(in("folder"), 0777),
                     0);
    put(in("closed/file"), "theirs");
    put(in("sticky/theirs"), "theirs");
    put(in("unseen/file"), "theirs");
    as_root = !geteuid();
    assert_int_equal(chmod(in("read_only"), 0444) || chmod(in("closed/file"), 0666) ||
                         chmod(in("closed"), 0555) || chmod(in("sticky/theirs"), 0666) ||
                         chmod(in("sticky"), 01777) || chmod(in("unseen"), 0700) ||
                         chmod(in("folder"), 0777) || chmod(folder, 0777),
                     0);
    int result = in_child(try_forbidden_places, 1);
    assert_int_equal(chmod(in("closed"), 0755), 0);
    assert_int_equal(result, 0);
    assert_true(holds(in("read_only"), "theirs") && holds(in("closed/file"), "theirs") &&
                holds(in("sticky/theirs"), "theirs") && holds(in("unseen/file"), "theirs"));
    assert_int_equal(entries(), 5);
}

/* The question leaves no trace. */
static void test_writable_changes_nothing(void **state) {
    (void)state;
    struct stat before, after;
    put(in("file"), "old");
    assert_int_equal(stat(folder, &before), 0);
    ok(xlstm_file_writable(in("file")));
    ok(xlstm_file_writable(in("new")));
    assert_int_equal(stat(folder, &after), 0);
    assert_true(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec &&
                before.st_mtim.tv_sec == after.st_mtim.tv_sec);
    assert_true(holds(in("file"), "old"));
    assert_int_equal(entries(), 1);
}

/* ---- both files of a model ---- */

/* Which of the two models a folder holds, 0 or 1; -1: it is refused, for being of two saves; else this fails.
 */
static int model_in(const char *path) {
    xlstm_module *m = NULL;
    xlstm_status status = xlstm_module_load(&m, path);
    if (status == XLSTM_E_CONFIG && strstr(xlstm_last_error(), "num_heads was"))
        return -1;
    ok(status);
    int which = xlstm_module_config(m)->num_heads == 2;
    xlstm_parameter p;
    ok(xlstm_module_parameter(m, 0, &p));
    xlstm_real *there = copy_parameter(m, 0), *own = copy_parameter(models[which], 0);
    assert_memory_equal(there, own, p.count * sizeof *own);
    free(there);
    free(own);
    xlstm_module_free(m);
    return which;
}

static void copy(const char *from, const char *to) {
    size_t size;
    char *bytes = read_file(from, &size);
    ok(xlstm_file_write(to, bytes, size));
    free(bytes);
}

/* A mixture is refused, whichever half is the older; what does not change the numbers is free. */
static void test_mixtures(void **state) {
    (void)state;
    xlstm_module *m;
    for (int old = 0; old < 2; old++) {
        ok(xlstm_module_save(models[old], in("m")));
        ok(xlstm_module_save(models[!old], in("n")));
        assert_int_equal(model_in(in("m")), old);
        copy(in("n/model.safetensors"), in("m/model.safetensors"));
        assert_int_equal(model_in(in("m")), -1);
        assert_non_null(strstr(xlstm_last_error(), in("m/model.safetensors")));
        xlstm_config c;
        ok(xlstm_config_load(in("m"), &c)); /* meant so: the way that the sentence says */
        ok(xlstm_model_create(&m, &c, 1));
        ok(xlstm_module_load_weights(m, in("m/model.safetensors")));
        ok(xlstm_module_save(m, in("m")));
        xlstm_module_free(m);
        ok(xlstm_module_load(&m, in("m")));
        assert_int_equal(xlstm_module_config(m)->num_heads, old ? 2 : 4);
        xlstm_module_free(m);
    }
    xlstm_config c = *xlstm_module_config(models[0]);
    c.dropout = 0.25f;
    c.chunk_size = 8;
    ok(xlstm_module_save(models[0], in("m")));
    ok(xlstm_config_save(&c, in("m")));
    assert_int_equal(model_in(in("m")), 0);
    c.output_logit_soft_cap = 30;
    ok(xlstm_config_save(&c, in("m")));
    assert_int_equal(xlstm_module_load(&m, in("m")), XLSTM_E_CONFIG);
    assert_non_null(strstr(xlstm_last_error(), "output_logit_soft_cap was 0.0 and is 30.0"));
    ok(write_weights(in("m/model.safetensors"))); /* weights alone carry the mark too */
    assert_int_equal(xlstm_module_load(&m, in("m")), XLSTM_E_CONFIG);
    xlstm_tensors *file; /* what others write says nothing */
    xlstm_tensor t[64];
    ok(xlstm_tensors_open(&file, in("m/model.safetensors")));
    int count = xlstm_tensors_count(file);
    for (int i = 0; i < count; i++)
        ok(xlstm_tensors_get(file, i, &t[i]));
    ok(xlstm_tensors_write(in("m/model.safetensors"), t, count));
    xlstm_tensors_close(file);
    ok(xlstm_module_load(&m, in("m")));
    xlstm_module_free(m);
}

/* A mark that is no configuration is refused like a config.json that is none. */
static void test_forged_marks(void **state) {
    (void)state;
    char *longest = calloc(1, (1 << 20) + 2);
    memset(longest, ' ', (1 << 20) + 1);
    const char *const marks[] = {
        "",
        "[1",
        "{}",
        "null",
        "{\"model_type\":\"libxlstm\",\"blocks\":[]}",
        "{\"model_type\":\"libxlstm\",\"blocks\":[\"transformer\"],\"num_heads\":-5}",
        "{\"model_type\":\"libxlstm\",\"blocks\":[\"transformer\"],\"later\":1}",
        longest};
    xlstm_tensors *file;
    xlstm_tensor t[64];
    ok(xlstm_module_save(models[0], in("m")));
    ok(xlstm_tensors_open(&file, in("m/model.safetensors")));
    int count = xlstm_tensors_count(file);
    for (int i = 0; i < count; i++)
        ok(xlstm_tensors_get(file, i, &t[i]));
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        json_t *texts = json_pack("{s:s}", "libxlstm.config", marks[i]);
        char *head;
        size_t bytes;
        xl_file_replace to;
        xlstm_module *m;
        ok(xl_tensors_head(&head, &bytes, t, count, texts));
        ok(xl_file_replace_open(&to, in("m/model.safetensors"), XL_FILE_REGULAR));
        ok(xl_file_replace_end(&to, xl_tensors_put(&to, head, bytes, t, count, NULL)));
        xlstm_status status = xlstm_module_load(&m, in("m"));
        if ((status != XLSTM_E_FORMAT && status != XLSTM_E_CONFIG) ||
            !strstr(xlstm_last_error(), in("m/model.safetensors")))
            fail_msg("mark %zu: %d, %s", i, status, xlstm_last_error());
        assert_null(m);
        xl_free(head);
        json_decref(texts);
    }
    xlstm_tensors_close(file);
    free(longest);
}

/* Every kind of model is what its own mark says, in whatever format its config.json is. */
static void test_marks_of_all_kinds(void **state) {
    (void)state;
    for (int kind = TEST_BLOCKS + TEST_CELLS; kind < TEST_KINDS; kind++) {
        xlstm_module *m, *back;
        char name[64];
        ok(create_kind(&m, kind, name, 3));
        ok(xlstm_module_save(m, in(name)));
        ok(xlstm_module_load(&back, in(name)));
        xlstm_module_free(m);
        xlstm_module_free(back);
    }
}

/* The second file cannot be written: the first is as it was, and nothing is left. */
static void test_second_file(void **state) {
    (void)state;
    ok(xlstm_module_save(models[0], in("m")));
    copy(in("m/config.json"), in("config"));
    unlink(in("m/config.json"));
    assert_int_equal(mkdir(in("m/config.json"), 0777), 0);
    copy(in("m/model.safetensors"), in("weights"));
    refused(xlstm_module_save(models[1], in("m")), in("m/config.json"), "directory");
    assert_true(same_files(in("m/model.safetensors"), in("weights")));
    rmdir(in("m/config.json"));
    copy(in("config"), in("m/config.json"));
    assert_int_equal(model_in(in("m")), 0);
#ifdef FS_APPEND_FL
    /* One that may be written, but not renamed over. */
    int fd = open(in("m/config.json"), O_RDONLY), flags = 0;
    int can = fd >= 0 && !ioctl(fd, FS_IOC_GETFLAGS, &flags);
    flags |= FS_APPEND_FL;
    if (can && !ioctl(fd, FS_IOC_SETFLAGS, &flags)) {
        xlstm_status status = xlstm_module_save(models[1], in("m"));
        flags &= ~FS_APPEND_FL;
        assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
        refused(status, in("m/config.json"), "unchanged");
        assert_int_equal(model_in(in("m")), 0);
        print_message("the second rename was refused, the first taken back\n");
    }
    close(fd);
#endif
    assert_int_equal(unlink(in("m/config.json")) || unlink(in("m/model.safetensors")), 0);
    assert_int_equal(rmdir(in("m")), 0);
}

enum { KILLS = 40 };

/* kill -9 while two models are saved to one folder in turn: one of them is there, or none that loads. */
static void test_killed(void **state) {
    (void)state;
    int found[3] = {0}, unfinished = 0;
    ok(xlstm_module_save(models[0], in("m")));
    for (int i = 0; i < KILLS; i++) {
        pid_t child = fork();
        if (child == 0)
            for (int n = 0;; n++)
                if (xlstm_module_save(models[n % 2], in("m")))
                    _exit(1);
        nanosleep(&(struct timespec){0, 1000000 + (long)(xl_hash(5, (uint64_t)i) % 20000000)}, NULL);
        int how;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        found[model_in(in("m")) + 1]++;
        unfinished += !access(in("m/model.safetensors.xlstm-0.tmp"), F_OK);
    }
    print_message("%d kills, %d while a file was written: %d times the one model, %d the other, %d refused\n",
                  KILLS, unfinished, found[1], found[2], found[0]);
    assert_true(unfinished > 0 && found[1] + found[2] > 0);
    ok(xlstm_module_save(models[1], in("m")));
    assert_int_equal(model_in(in("m")), 1);
    assert_int_equal(unlink(in("m/config.json")) || unlink(in("m/model.safetensors")), 0);
    assert_int_equal(rmdir(in("m")), 0); /* nothing else is there */
}

/* ---- mapped files ---- */

/* One that is replaced or removed stays what it was for who has mapped it; one that is written into is
 * noticed where its size or time says so. */
static void test_mapped(void **state) {
    (void)state;
    xlstm_module *half, *m;
    xlstm_session *s = NULL;
    char *weights = in("m/model.safetensors");
    ok(xlstm_module_quantize(&half, models[0], XLSTM_WEIGHTS_BF16));
    ok(xlstm_module_save(half, in("m")));
    for (int how = 0; how < 4; how++) {
        ok(xlstm_module_save(half, in("m")));
        ok(xlstm_module_load_as(&m, in("m"), XLSTM_WEIGHTS_BF16));
        struct stat st;
        assert_int_equal(stat(weights, &st), 0);
        if (how == 0)
            ok(xlstm_module_save(m, in("m"))); /* by itself, too */
        else if (how == 1)
            assert_int_equal(unlink(weights), 0);
        else if (how == 2)
            assert_int_equal(utimensat(AT_FDCWD, weights, (struct timespec[]){{0, 0}, {1, 1}}, 0), 0);
        else {
            FILE *f = fopen(weights, "ab");
            fputc(0, f);
            fclose(f);
            assert_int_equal(utimensat(AT_FDCWD, weights, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
        }
        if (how < 2)
            ok(xlstm_session_create(&s, m, 1, 1));
        else {
            refused(xlstm_session_create(&s, m, 1, 1), weights, "while it was mapped");
            assert_null(s);
            refused(xlstm_module_save(m, in("other")), weights, "while it was mapped");
            xlstm_trainer_config tc;
            xlstm_trainer *tr;
            xlstm_trainer_config_init(&tc);
            tc.gradients = 0;
            refused(xlstm_trainer_create(&tr, m, &tc), weights, "while it was mapped");
        }
        xlstm_session_free(s);
        s = NULL;
        xlstm_module_free(m);
    }
    xlstm_module_free(half);
}

static int setup(void **state) {
    (void)state;
    static const char *const list[] = {"<unk>", "one", "two"};
    xlstm_config c = small_config(XLSTM_TRANSFORMER);
    c.embedding_dim = 64;
    xlstm_set_threads(1); /* children go on */
    for (int i = 0; i < 2; i++) {
        c.num_heads = i ? 2 : 4;
        ok(xlstm_model_create(&models[i], &c, (uint64_t)i));
    }
    run_open(&run, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    ok(xlstm_tokenizer_from_words(&words, list, 3));
    make_folder(folder, "writing");
    return 0;
}

static int teardown(void **state) {
    each_setup(state);
    xlstm_tokenizer_free(words);
    run_close(&run);
    xlstm_module_free(models[0]);
    xlstm_module_free(models[1]);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pipes, each_setup),
        cmocka_unit_test_setup(test_leaving_reader, each_setup),
        cmocka_unit_test_setup(test_devices, each_setup),
        cmocka_unit_test_setup(test_open_descriptors, each_setup),
        cmocka_unit_test_setup(test_links, each_setup),
        cmocka_unit_test_setup(test_links_to_folders, each_setup),
        cmocka_unit_test_setup(test_hard_links, each_setup),
        cmocka_unit_test_setup(test_modes, each_setup),
        cmocka_unit_test_setup(test_private_beside, each_setup),
        cmocka_unit_test_setup(test_access_lists, each_setup),
        cmocka_unit_test_setup(test_owners, each_setup),
        cmocka_unit_test_setup(test_foreign_beside, each_setup),
        cmocka_unit_test_setup(test_foreign_files_stay, each_setup),
        cmocka_unit_test_setup(test_leftovers_and_the_living, each_setup),
        cmocka_unit_test_setup(test_meddling, each_setup),
        cmocka_unit_test_setup(test_long_names, each_setup),
        cmocka_unit_test_setup(test_limited_files, each_setup),
        cmocka_unit_test_setup(test_forbidden_places, each_setup),
        cmocka_unit_test_setup(test_writable_changes_nothing, each_setup),
        cmocka_unit_test_setup(test_mixtures, each_setup),
        cmocka_unit_test_setup(test_forged_marks, each_setup),
        cmocka_unit_test_setup(test_marks_of_all_kinds, each_setup),
        cmocka_unit_test_setup(test_second_file, each_setup),
        cmocka_unit_test_setup(test_killed, each_setup),
        cmocka_unit_test_setup(test_mapped, each_setup),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
