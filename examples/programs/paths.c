/* paths.c - what a place is, the system says; nothing is opened for writing and nothing is made to find out.
 */
#include "paths.h"
#include "program.h"
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

/* ---- reading ---- */

void check_readable(const char *path) {
    struct stat there;
    if (access(path, R_OK))
        die("%s cannot be read (%s)", path, strerror(errno));
    if (!stat(path, &there) && S_ISDIR(there.st_mode))
        die("%s cannot be read (it is a folder); give a file", path);
}

void check_runnable(const char *name) {
    const char *path = getenv("PATH");
    int found = strchr(name, '/') && !access(name, X_OK);
    while (!strchr(name, '/') && path && !found) {
        size_t length = strcspn(path, ":");
        char *place = need(length + strlen(name) + 3);
        sprintf(place, "%.*s/%s", length ? (int)length : 1, length ? path : ".", name);
        found = !access(place, X_OK);
        free(place);
        path = path[length] ? path + length + 1 : NULL;
    }
    if (!found)
        die("%s cannot be started; give the path of a program", name);
}

/* ---- writing ---- */

/* In its beginning, where each kind of file says what it is. */
static int has_text(const char *path, const char *text) {
    char beginning[4096];
    FILE *f = fopen(path, "rb");
    size_t count = f ? fread(beginning, 1, sizeof beginning, f) : 0;
    if (f)
        fclose(f);
    return memmem(beginning, count, text, strlen(text)) != NULL;
}

int is_device(const char *path) {
    struct stat there;
    return !stat(path, &there) && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode);
}

void check_writable(const char *option, const char *path, const char *own) {
    struct stat there;
    check(xlstm_file_writable(path));
    if (own && !stat(path, &there) && S_ISREG(there.st_mode) && there.st_size && !has_text(path, own))
        die("%s is no file of --%s; give a new path", path, option);
}

/* The folder that it lies in. */
static char *folder_of(const char *path) {
    char *folder = strcpy(need(strlen(path) + 2), path);
    for (size_t n = strlen(folder); n > 1 && folder[n - 1] == '/'; n--)
        folder[n - 1] = 0;
    char *slash = strrchr(folder, '/');
    strcpy(!slash ? folder : slash == folder ? slash + 1 : slash, !slash ? "." : "");
    return folder;
}

/* It is not there: can it be made? */
static void check_new_folder(const char *path) {
    struct stat there;
    char *parent = folder_of(path);
    if (!lstat(path, &there))
        die("the folder %s cannot be made (its name is taken)", path);
    if (stat(parent, &there) || access(parent, W_OK | X_OK))
        die("the folder %s cannot be made (%s)", path, strerror(errno));
    if (!S_ISDIR(there.st_mode))
        die("the folder %s cannot be made (%s is no folder)", path, parent);
    free(parent);
}

void check_folder(const char *path) {
    struct stat there;
    if (!*path)
        die("the name of a folder is empty; give the path of a folder");
    if (stat(path, &there)) {
        check_new_folder(path);
        return;
    }
    if (!S_ISDIR(there.st_mode))
        die("%s cannot hold files (it is no folder); give the path of a folder", path);
    if (access(path, W_OK | X_OK))
        die("the folder %s cannot be written to (%s)", path, strerror(errno));
}

/* ---- which file it is ---- */

static char *full_path(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *folder = strcpy(need(strlen(path) + 2), path);
    strcpy(folder + (name - path), ".");
    char *real = realpath(folder, NULL), *full = need(strlen(real ? real : folder) + strlen(name) + 2);
    sprintf(full, "%s/%s", real ? real : folder, name);
    free(real);
    free(folder);
    return full;
}

int same_file(const char *a, const char *b) {
    char *x = full_path(a), *y = full_path(b);
    struct stat i, k;
    int same = !strcmp(x, y);
    same |=
        !stat(a, &i) && !stat(b, &k) && S_ISREG(i.st_mode) && i.st_dev == k.st_dev && i.st_ino == k.st_ino;
    free(x);
    free(y);
    return same;
}

/* ---- models ---- */

static int ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

int holds_weights(const char *folder, char name[MODEL_FILE_NAME]) {
    DIR *files = opendir(folder);
    int found = 0;
    for (const struct dirent *file; files && !found && (file = readdir(files));)
        if (ends_with(file->d_name, ".safetensors") || ends_with(file->d_name, ".safetensors.index.json"))
            found = snprintf(name, MODEL_FILE_NAME, "%s", file->d_name) > 0;
    if (files)
        closedir(files);
    return found;
}
