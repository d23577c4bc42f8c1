/* gnuplot.h - pictures are drawn by gnuplot, which is found when one is wanted. */
#ifndef GNUPLOT_H
#define GNUPLOT_H

#include <stddef.h>
#include <stdio.h>

/* A text of a script, in quotes and without what gnuplot would take for more than a text. */
void gnuplot_text(FILE *script, const char *text);
/* What a script draws, to be freed, with a zero byte behind it; NULL: gnuplot could not be asked and errno
 * says why, or errno is 0 and it is not here, or failed. */
char *gnuplot_draw(const char *script, size_t length, size_t *size);

#endif
