/* plot.h - small plots as SVG inside a page, drawn by gnuplot: colours that are distinct without colour
 * vision, dashes and marks besides. Without gnuplot a sentence stands in the plot's place. */
#ifndef PLOT_H
#define PLOT_H

#include <stdio.h>

typedef enum { PLOT_LINES, PLOT_BARS } plot_form;
typedef struct plot plot;

/* Texts are copied; x may be NULL. */
plot *plot_begin(const char *title, const char *x, const char *y, plot_form form);
/* What stands under the n-th bars. */
void plot_category(plot *p, const char *name);
/* The points that follow are of this series. Series of one style are drawn alike; a NULL name is not in the
 * legend and is drawn thin. */
void plot_series(plot *p, const char *name, int style);
/* A NaN is a gap. For bars, x is the category. */
void plot_point(plot *p, double x, double y);
/* Writes the figure and frees the plot. @param set one more gnuplot setting, such as "logscale y", or NULL */
void plot_end(plot *p, FILE *html, const char *set);
void plot_drop(plot *p);

#endif
