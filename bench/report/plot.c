/* plot.c - gnuplot draws: a plot is collected as its script, with the points in it, and what comes back is
 * made fit to stand in a page beside others. */
#include "plot.h"
#include "gnuplot.h"
#include "program.h"
#include <math.h>

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

/* Colours by Okabe and Ito, without the yellow that white swallows. No two styles have the same dashes, so
 * that lines on top of each other and grey prints can be told apart; the second seven have the colours again,
 * with other marks. */
enum { STYLES = 14 };
static void write_styles(FILE *f) {
    static const char *const colours[] = {"0072B2", "D55E00", "009E73", "CC79A7",
                                          "000000", "E69F00", "56B4E9"};
    static const char *const dashes[STYLES] = {
        "1",      "2",       "3",     "4",          "5",          "(6,12)",     "(6,2,2,2)",
        "(10,8)", "(20,10)", "(2,8)", "(20,4,2,4)", "(8,3,8,10)", "(14,3,4,3)", "(3,3,12,3,3,8)"};
    static const int marks[STYLES] = {7, 5, 9, 11, 13, 6, 4, 8, 10, 12, 14, 1, 2, 3};
    for (int i = 0; i < STYLES; i++)
        fprintf(f, "set linetype %d lc rgb \"#%s\" dt %s pt %d lw 2 ps 0.7\n", i + 1, colours[i % 7],
                dashes[i], marks[i]);
    fprintf(f, "set linetype cycle %d\n", STYLES);
}

static size_t longest(const plot *p) {
    size_t n = 0;
    for (int i = 0; i < p->count; i++)
        n = p->s[i].end - p->s[i].first > n ? p->s[i].end - p->s[i].first : n;
    return n;
}

static void write_axes(const plot *p, FILE *f, const char *set) {
    fputs("set title ", f);
    gnuplot_text(f, p->title);
    fputs(" noenhanced\nset ylabel ", f);
    gnuplot_text(f, p->y);
    if (p->x[0]) {
        fputs(" noenhanced\nset xlabel ", f);
        gnuplot_text(f, p->x);
        fputs(" . \"\\n \"", f); /* a line between it and the key */
    }
    fputs("\nset key noenhanced bmargin center horizontal maxcols 2\nset grid ytics lc rgb \"#dddddd\"\nset "
          "border "
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
            gnuplot_text(f, p->category[i]);
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
            fprintf(f, "$d%d using ($1+%g):2:(%g) with boxes fs pattern %d lt %d dt 1 title ", i,
                    (i - 0.5 * (p->count - 1)) * width, 0.9 * width, s->style % 7 + 1, s->style % STYLES + 1);
        else if (s->named)
            fprintf(f, "$d%d using 1:2 with linespoints lt %d pi %zu title ", i, s->style % STYLES + 1,
                    every);
        else /* one more seed: marks on all of them would hide the lines */
            fprintf(f, "$d%d using 1:2 with lines lt %d lw 0.8 title ", i, s->style % STYLES + 1);
        gnuplot_text(f, s->name);
    }
    fputc('\n', f);
}

/* Ids that gnuplot gives in every picture, and a page may have but once. */
static int is_shared_id(const char *at) {
    static const char *const ids[] = {"gpPt", "gpPat", "gpDot", "gnuplot_canvas", "textbox", "greybox"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (!strncmp(at, ids[i], strlen(ids[i])))
            return 1;
    return 0;
}

/* @param number of the picture in the page, which becomes a part of its ids */
static void copy_with_ids(const char *svg, int number, FILE *html) {
    for (const char *at = svg; *at; at++) {
        fputc(*at, html);
        if (strchr("'\"#", *at) && is_shared_id(at + 1))
            fprintf(html, "p%d", number);
    }
}

/* For those who hear the page; names are ours, but files say them. */
static void attribute(FILE *f, const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text >= 32 && !strchr("<>&\"", *text))
            fputc(*text, f);
}

static void write_label(const plot *p, FILE *html) {
    const char *comma = "; ";
    attribute(html, p->title);
    fputs(": ", html);
    attribute(html, p->y);
    fputs(p->x[0] ? " against " : "", html);
    attribute(html, p->x);
    for (int i = 0; i < p->count; i++)
        if (p->s[i].named) {
            fputs(comma, html);
            attribute(html, p->s[i].name);
            comma = ", ";
        }
}

/* The picture without the lines that only a file of its own has, and with a name in place of gnuplot's, which
 * is "Gnuplot" for all. */
static int copy_svg(const plot *p, char *text, int number, FILE *html) {
    char *svg = text ? strstr(text, "<svg") : NULL;
    char *titled = svg ? strstr(svg, "<title>") : NULL, *body = svg ? strstr(svg, "</desc>") : NULL;
    if (titled && body > titled) {
        *titled = 0;
        fputs("<figure role=\"group\" aria-label=\"", html);
        attribute(html, p->title);
        fputs("\">\n<svg role=\"img\" aria-label=\"", html);
        write_label(p, html);
        fputc('"', html);
        copy_with_ids(svg + 4, number, html);
        copy_with_ids(body + 7, number, html);
        fputs("</figure>\n", html);
    }
    return titled && body > titled;
}

static int has_points(const plot *p) {
    for (size_t i = 0; i < p->points; i++)
        if (isfinite(p->point[i][1]))
            return 1;
    return 0;
}

static void write_script(const plot *p, const char *set, int number, FILE *f) {
    fprintf(f,
            "set terminal svg size 440,400 dynamic font \"sans-serif,14\" linewidth 1 background "
            "\"#ffffff\" name \"p%d\"\n",
            number);
    write_styles(f);
    write_data(p, f);
    write_axes(p, f, set);
    write_plot(p, f);
}

/* @return why there is no figure, or NULL */
static const char *draw(const plot *p, const char *set, FILE *html) {
    static int number; /* of the picture: a part of its ids */
    char *script = NULL;
    size_t length = 0, size;
    FILE *f = open_memstream(&script, &length);
    if (!f)
        return strerror(errno);
    write_script(p, set, ++number, f);
    fclose(f);
    char *picture = gnuplot_draw(script, length, &size);
    int error = errno, copied = copy_svg(p, picture, number, html);
    free(picture);
    free(script);
    return copied  ? NULL
           : error ? strerror(error)
                   : "gnuplot is not here, apt-get install gnuplot-nox, or failed";
}

void plot_end(plot *p, FILE *html, const char *set) {
    const char *why = has_points(p) ? draw(p, set, html) : "there is nothing to draw yet";
    if (why)
        fprintf(html, "<p>(%s: not drawn: %s)</p>\n", p->title, why);
    plot_drop(p);
}
