/* picture.h - forecasts as a picture: a panel each, with history, median and bands. Bands differ in
 * lightness, lines in dashes, so that no colour has to be seen. */
#ifndef PICTURE_H
#define PICTURE_H

enum { PICTURE_PANELS = 24, PICTURE_WHY = 160 };

typedef struct {
    const char *title;
    int history, steps, levels;
    const double *value;                               /* [history], NaN where one is missing */
    const double *quantiles;                           /* [levels, steps] */
    const double *median;                              /* [steps] */
    const double *level;                               /* [levels], increasing */
    const char *(*label)(const void *context, int at); /* of place `at` of history and steps behind it */
    const void *context;
} picture_panel;

/* As the name ends: .svg, .png, or .html, which is a page that needs no other file. 0: see `why`. */
int picture_write(const char *path, const picture_panel *panels, int count, char why[PICTURE_WHY]);
/* Whether it ends so. */
int picture_has_form(const char *path);

#endif
