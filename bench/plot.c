#include "plot.h"
#include "program.h"
#include <math.h>
#include <unistd.h>

enum { MAX_SERIES = 64, MAX_CATEGORIES = 16 };

typedef struct {
    char name[96];
    int style, named;
    size_t first, end; /* of the points */
} series;

struct plot {
    char title[128], x[96], y[96], category[MAX_CATEGORIES][32];
    plot_form form;
    int categories, count;
    series s[MAX_SERIES];
    double (*point)[2];
    size_t points;
};

plot *plot_begin(const char *title, const char *x, const char *y, plot_form form) {
    plot *p = need(sizeof *p);
    p->form = form;
    snprintf(p->title, sizeof p->title, "%s", title);
    snprintf(p->x, sizeof p->x, "%s", x ? x : "");
    snprintf(p->y, sizeof p->y, "%s", y);
    return p;
}

void plot_category(plot *p, const char *name) {
    if (p->categories < MAX_CATEGORIES)
        snprintf(p->category[p->categories++], sizeof *p->category, "%s", name);
}

void plot_series(plot *p, const char *name, int style) {
    if (p->count == MAX_SERIES)
        p->count--; /* more lines than anybody could tell apart: the last are left out */
    series *s = &p->s[p->count++];
    *s = (series){.style = style, .named = name != NULL, .first = p->points, .end = p->points};
    snprintf(s->name, sizeof s->name, "%s", name ? name : "");
}

void plot_point(plot *p, double x, double y) {
    if ((p->points & (p->points - 1)) == 0 &&
        !(p->point = realloc(p->point, (p->points ? 2 * p->points : 1) * sizeof *p->point)))
        die("no memory for a plot");
    p->point[p->points][0] = x;
    p->point[p->points++][1] = y;
    p->s[p->count - 1].end = p->points;
}

void plot_drop(plot *p) {
    free(p->point);
    free(p);
}

/* gnuplot's text in double quotes; names are ours, but files say them. */
static void quoted(FILE *f, const char *text) {
    fputc('"', f);
    for (; *text; text++)
        if ((unsigned char)*text >= 32 && *text != '"' && *text != '\\' && *text != '`')
            fputc(*text, f);
    fputc('"', f);
}

static void write_data(const plot *p, FILE *f) {
    for (int i = 0; i < p->count; i++) {
        fprintf(f, "$d%d << EOD\n", i);
        for (size_t n = p->s[i].first; n < p->s[i].end; n++)
            if (isfinite(p->point[n][1]))
                fprintf(f, "%.9g %.9g\n", p->point[n][0], p->point[n][1]);
            else
                fprintf(f, "%.9g NaN\n", p->point[n][0]);
        fputs("EOD\n", f);
    }
}

static void write_styles(FILE *f) { /* colours by Okabe and Ito, without the yellow that white swallows */
    static const char *const colours[] = {"0072B2", "D55E00", "009E73", "CC79A7",
                                          "000000", "E69F00", "56B4E9"};
    static const int marks[] = {7, 5, 9, 11, 13, 6, 4};
    for (int i = 0; i < 7; i++)
        fprintf(f, "set linetype %d lc rgb \"#%s\" dt %d pt %d lw 2 ps 0.7\n", i + 1, colours[i], i % 5 + 1,
                marks[i]);
    fputs("set linetype cycle 7\n", f);
}

static size_t longest(const plot *p) {
    size_t n = 0;
    for (int i = 0; i < p->count; i++)
        n = p->s[i].end - p->s[i].first > n ? p->s[i].end - p->s[i].first : n;
    return n;
}

static void write_axes(const plot *p, FILE *f, const char *set) {
    fputs("set title ", f);
    quoted(f, p->title);
    fputs(" noenhanced\nset ylabel ", f);
    quoted(f, p->y);
    if (p->x[0]) {
        fputs(" noenhanced\nset xlabel ", f);
        quoted(f, p->x);
    }
    fputs("\nset key noenhanced outside top center horizontal\nset grid ytics lc rgb \"#dddddd\"\nset border "
          "3\n"
          "set tics nomirror\nset format x \"%.4g\"\nset format y \"%.4g\"\n",
          f);
    if (set)
        fprintf(f, "set %s\n", set);
    if (p->form == PLOT_BARS) {
        fputs("set format y \"%.0f\"\nset style fill pattern 1 border\nset boxwidth 0.8 relative\nset xtics "
              "noenhanced (",
              f);
        for (int i = 0; i < p->categories; i++) {
            if (i)
                fputs(", ", f);
            quoted(f, p->category[i]);
            fprintf(f, " %d", i);
        }
        fprintf(f, ")\nset xrange [-0.6:%g]\n", p->categories - 0.4);
    }
}

static void write_plot(const plot *p, FILE *f) {
    double width = 0.8 / (p->count ? p->count : 1);
    size_t every = longest(p) / 12 + 1; /* about a dozen marks on a line */
    for (int i = 0; i < p->count; i++) {
        const series *s = &p->s[i];
        fputs(i ? ", " : "plot ", f);
        if (p->form == PLOT_BARS)
            fprintf(f, "$d%d using ($1+%g):2:(%g) with boxes fs pattern %d lt %d title ", i,
                    (i - 0.5 * (p->count - 1)) * width, 0.9 * width, s->style % 7 + 1, s->style % 7 + 1);
        else
            fprintf(f, "$d%d using 1:2 with linespoints lt %d pi %zu title ", i, s->style % 7 + 1, every);
        quoted(f, s->name);
    }
    fputc('\n', f);
}

/* The picture without the lines that only a file of its own has. */
static int copy_svg(const char *path, FILE *html) {
    size_t size;
    char *text = read_file(path, &size), *svg = text ? strstr(text, "<svg") : NULL;
    if (svg)
        fprintf(html, "<figure>\n%s</figure>\n", svg);
    free(text);
    return svg != NULL;
}

static int has_points(const plot *p) {
    for (size_t i = 0; i < p->points; i++)
        if (isfinite(p->point[i][1]))
            return 1;
    return 0;
}

void plot_end(plot *p, FILE *html, const char *set) {
    char script[] = "/tmp/xlstm-plot-XXXXXX", picture[sizeof script + 4], command[128];
    int fd = has_points(p) ? mkstemp(script) : -1;
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    int drawn = 0;
    if (f) {
        snprintf(picture, sizeof picture, "%s.svg", script);
        fprintf(f,
                "set terminal svg size 680,420 dynamic font \"sans-serif,16\" linewidth 1 background "
                "\"#ffffff\"\nset output \"%s\"\n",
                picture);
        write_styles(f);
        write_data(p, f);
        write_axes(p, f, set);
        write_plot(p, f);
        fclose(f);
        snprintf(command, sizeof command, "gnuplot %s >/dev/null 2>&1", script);
        drawn = system(command) == 0 && copy_svg(picture, html);
        remove(picture);
        remove(script);
    }
    if (!drawn)
        fprintf(html, "<p>(%s: %s)</p>\n", p->title,
                f ? "not drawn: gnuplot is not here, apt-get install gnuplot-nox, or failed"
                  : "there is nothing to draw yet");
    plot_drop(p);
}
