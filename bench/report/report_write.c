/* report_write.c - one call writes HTML into the page and Markdown beside it, so that both say the same. */
#include "report.h"

/* ---- numbers ---- */

/* No decimals where they say nothing (@param scale the figure that decides), no "-0.0", and a perplexity of
 * 1e256 as that and not in 256 digits. */
static void figure(char text[CELL / 2 - 2], double x, double scale, int digits) {
    digits = fabs(scale) >= 1000 ? 0 : digits;
    if (fabs(x) >= 1e7)
        snprintf(text, CELL / 2 - 2, "%.3g", x);
    else
        snprintf(text, CELL / 2 - 2, "%.*f", digits, fabs(x) < 0.5 * pow(10, -digits) ? 0 : x);
}

void cell(char text[CELL], statistic s, int digits) {
    char mean[CELL / 2 - 2], spread[CELL / 2 - 2];
    figure(mean, s.mean, s.mean, digits);
    figure(spread, s.spread, s.mean, digits);
    if (isnan(s.mean))
        snprintf(text, CELL, "–");
    else if (isnan(s.spread))
        snprintf(text, CELL, "%s", mean);
    else
        snprintf(text, CELL, "%s ± %s", mean, spread);
}

/* ---- tables and sentences ---- */

void escaped(FILE *f, const char *text) {
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc(*text, f);
        }
}

void heading(const writer *w, const char *text) {
    fputs("<h2>", w->html);
    escaped(w->html, text);
    fputs("</h2>\n", w->html);
    fprintf(w->md, "\n## %s\n", text);
}

void paragraph(const writer *w, const char *text) {
    fputs("<p>", w->html);
    escaped(w->html, text);
    fputs("</p>\n", w->html);
    fprintf(w->md, "\n%s\n", text);
}

void table_begin(writer *w, const char *label) {
    w->columns = 0;
    fputs("<div class=\"wide\"><table aria-label=\"", w->html);
    escaped(w->html, label);
    fputs("\">\n<tr>", w->html);
    fputs("\n|", w->md);
}

void table_head(writer *w, const char *text) {
    w->columns++;
    fputs("<th scope=\"col\">", w->html);
    escaped(w->html, text);
    fputs("</th>", w->html);
    fprintf(w->md, " %s |", text);
}

void table_row(writer *w) {
    w->column = 0;
    fputs("\n<tr>", w->html);
    fputs("\n|", w->md);
}

void table_headed(const writer *w) {
    fputs("\n|", w->md);
    for (int i = 0; i < w->columns; i++)
        fputs(i ? "---:|" : "---|", w->md);
}

/* The first cell of a row says what the row is of. */
void table_cell(writer *w, const char *text) {
    int head = w->column++ == 0;
    fputs(head ? "<th scope=\"row\">" : "<td>", w->html);
    escaped(w->html, text);
    fputs(head ? "</th>" : "</td>", w->html);
    fprintf(w->md, " %s |", text);
}

void table_end(const writer *w) {
    fputs("\n</table></div>\n", w->html);
    fputs("\n", w->md);
}
