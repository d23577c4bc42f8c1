/* picture.c - labels of the time axis stand at so few places that they have room, and in the middle of their
 * part of it, so that none runs over the border. */
#include "picture.h"
#include "gnuplot.h"
#include "program.h"

enum { WIDTH = 860, HEIGHT = 300, MARGIN = 110, LETTER = 8, TITLE = 80 };

static const char *const forms[] = {".svg", ".png", ".html"};

static int form_of(const char *path) {
    size_t n = strlen(path);
    for (int i = 0; i < 3; i++) {
        size_t k = strlen(forms[i]);
        if (n > k && !strcasecmp(path + n - k, forms[i]))
            return i;
    }
    return -1;
}

int picture_has_form(const char *path) {
    return form_of(path) >= 0;
}

/* ---- the script ---- */

static void write_number(FILE *f, double x) {
    if (isfinite(x))
        fprintf(f, " %.9g", x);
    else
        fputs(" NaN", f);
}

static void write_data(FILE *f, const picture_panel *p, int n) {
    fprintf(f, "$h%d << EOD\n", n);
    for (int t = 0; t < p->history; t++) {
        fprintf(f, "%d", t);
        write_number(f, p->value[t]);
        fputc('\n', f);
    }
    fprintf(f, "EOD\n$f%d << EOD\n", n);
    for (int t = 0; t < p->steps; t++) {
        fprintf(f, "%d", p->history + t);
        write_number(f, p->median[t]);
        for (int q = 0; q < p->levels; q++)
            write_number(f, p->quantiles[q * p->steps + t]);
        fputc('\n', f);
    }
    fputs("EOD\n", f);
}

static void write_tics(FILE *f, const picture_panel *p) {
    int total = p->history + p->steps;
    size_t longest = 1;
    for (int t = 0; t<total; t += total> 16 ? total / 16 : 1) {
        size_t n = strlen(p->label(p->context, t));
        longest = n > longest ? n : longest;
    }
    int count = (int)((WIDTH - MARGIN) / (longest * LETTER + 30));
    count = count < 2 ? 2 : count > 8 ? 8 : count;
    count = count > total ? total : count;
    fputs("set xtics noenhanced (", f);
    for (int i = 0; i < count; i++) {
        int at = (int)((2 * i + 1) * (long)total / (2 * count));
        if (i)
            fputs(", ", f);
        gnuplot_text(f, p->label(p->context, at));
        fprintf(f, " %d", at);
    }
    fputs(")\n", f);
}

/* A name that a file says, cut where a character ends. */
static void write_title(FILE *f, const char *text) {
    char title[TITLE + 4];
    size_t n = strlen(text);
    if (n > TITLE)
        for (n = TITLE; n && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--;
    snprintf(title, sizeof title, "%.*s%s", (int)n, text, text[n] ? "..." : "");
    fputs("set label 1 ", f);
    gnuplot_text(f, title);
    fputs(" at graph 0, graph 1.08 left noenhanced\n", f);
}

/* Column of quantile q among a forecast's. */
static int column(int q) {
    return q + 3;
}

static void write_band(FILE *f, const picture_panel *p, int n, int q, const char *colour) {
    int high = p->levels - 1 - q;
    if (q >= high)
        return;
    fprintf(f,
            "$f%d using 1:%d:%d with filledcurves fs solid noborder fc rgb \"#%s\" title \"%g to %g %%\", ",
            n, column(q), column(high), colour, 100 * p->level[q], 100 * p->level[high]);
}

static void write_panel(FILE *f, const picture_panel *p, int n) {
    write_title(f, p->title);
    write_tics(f, p);
    fprintf(
        f,
        "set xrange [-0.5:%g]\nset arrow 1 from %g, graph 0 to %g, graph 1 nohead dt 3 lc rgb \"#666666\"\n",
        p->history + p->steps - 0.5, p->history - 0.5, p->history - 0.5);
    fputs("plot ", f);
    write_band(f, p, n, 0, "c6dbef");
    if (p->levels > 4)
        write_band(f, p, n, p->levels / 4, "6baed6");
    fprintf(f,
            "$h%d using 1:2 with linespoints pt 7 ps 0.2 lw 1.4 dt 1 lc rgb \"#000000\" title \"history\", ",
            n);
    const char *with = p->steps > 1 ? "lines lw 2.4 dt (9,4)" : "points pt 7";
    fprintf(f, "$f%d using 1:2 with %s lc rgb \"#08306b\" title \"median\"\n", n, with);
}

static void write_script(FILE *f, const picture_panel *panels, int count, int png) {
    int columns = count > 3 ? 2 : 1, rows = (count + columns - 1) / columns;
    fprintf(f, "set terminal %s size %d,%d font \"sans%s,%d\" background \"#ffffff\"\n",
            png ? "pngcairo" : "svg dynamic", WIDTH * columns, HEIGHT * rows, png ? "" : "-serif",
            png ? 10 : 13);
    for (int i = 0; i < count; i++)
        write_data(f, &panels[i], i);
    fputs("set encoding utf8\nset tics nomirror\nset border 3\nset grid ytics lc rgb \"#dddddd\"\n"
          "set format y \"%.6g\"\nset key noenhanced bmargin center horizontal maxrows 1\n"
          "set lmargin 11\nset rmargin 3\nset tmargin 2.5\n",
          f);
    fprintf(f, "set multiplot layout %d,%d\n", rows, columns);
    for (int i = 0; i < count; i++)
        write_panel(f, &panels[i], i);
    fputs("unset multiplot\n", f);
}

static char *draw(const picture_panel *panels, int count, int png, size_t *size) {
    char *script = NULL, *picture;
    size_t length = 0;
    FILE *f = open_memstream(&script, &length);
    if (!f)
        return NULL;
    write_script(f, panels, count, png);
    fclose(f);
    picture = gnuplot_draw(script, length, size);
    free(script);
    return picture;
}

/* ---- files ---- */

static char *page_of(const char *svg, size_t *size) {
    const char *begin = strstr(svg, "<svg");
    char *page = NULL;
    FILE *f = begin ? open_memstream(&page, size) : NULL;
    if (!f)
        return NULL;
    fprintf(
        f,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Forecasts</title>\n"
        "<style>body{font:16px sans-serif;max-width:1760px;margin:1em auto}svg{max-width:100%%;height:auto}"
        "</style>\n</head>\n<body>\n<h1>Forecasts</h1>\n%s</body>\n</html>\n",
        begin);
    fclose(f);
    return page;
}

static int fail(char why[PICTURE_WHY], const char *sentence) {
    snprintf(why, PICTURE_WHY, "%s", sentence);
    return 0;
}

int picture_write(const char *path, const picture_panel *panels, int count, char why[PICTURE_WHY]) {
    size_t size = 0;
    int form = form_of(path);
    if (form < 0)
        return fail(why, "a picture's name ends with .svg, .png or .html");
    char *bytes = draw(panels, count < PICTURE_PANELS ? count : PICTURE_PANELS, form == 1, &size);
    if (bytes && form == 2) {
        char *page = page_of(bytes, &size);
        free(bytes);
        bytes = page;
    }
    if (!bytes)
        return fail(why, "gnuplot is not here (apt-get install gnuplot-nox), or failed");
    xlstm_status status = xlstm_file_write(path, bytes, size);
    free(bytes);
    return status == XLSTM_OK ? 1 : fail(why, xlstm_last_error());
}
