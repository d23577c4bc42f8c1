/* gnuplot.c - script and picture are files without a name: gnuplot opens what it inherits, and no folder has
 * to be writable. */
#include "gnuplot.h"
#include "program.h"
#include <sys/mman.h>

void gnuplot_text(FILE *f, const char *text) {
    fputc('"', f);
    for (; *text; text++)
        if ((unsigned char)*text >= 32 && *text != '"' && *text != '\\' && *text != '`')
            fputc(*text, f);
    fputc('"', f);
}

static int open_memory(char path[32]) {
    int fd = memfd_create("plot", 0);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

char *gnuplot_draw(const char *script, size_t length, size_t *size) {
    char in_path[32], out_path[32], command[128], *picture = NULL;
    int in = open_memory(in_path), out = open_memory(out_path);
    FILE *f = in >= 0 && out >= 0 ? fopen(in_path, "w") : NULL;
    int error = f ? 0 : errno;
    if (f) {
        fwrite(script, 1, length, f);
        fclose(f);
        snprintf(command, sizeof command, "gnuplot %s >%s 2>/dev/null", in_path, out_path);
        if (!system(command))
            picture = read_file(out_path, size);
    }
    if (picture && !*size) {
        free(picture);
        picture = NULL;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    errno = error;
    return picture;
}
