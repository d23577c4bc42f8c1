/* report_page.c - the page as a whole: what it begins with, then task by task, then speed. */
#include "report.h"

static void configurations(const report *r, const result_kind *kind, FILE *html) {
    fputs("<h3>Each run, and how to make it again</h3>\n", html);
    for (int i = 0; i < r->count; i++)
        for (int n = 0; r->groups[i].kind == kind && n < r->groups[i].runs; n++) {
            const json_t *j = r->groups[i].run[n]->j;
            fputs("<details><summary>", html);
            escaped(html, r->groups[i].model);
            fprintf(html, ", seed %.0f</summary>\n<pre>", result_number(j, "setup.seed"));
            escaped(html, result_text(j, "command"));
            static const char *const parts[] = {"setup", "learning_rate_search", "machine"};
            for (int k = 0; k < 3; k++) {
                char *text = json_dumps(result_at(j, parts[k]), JSON_INDENT(1) | JSON_REAL_PRECISION(6));
                fprintf(html, "\n\n%s: ", parts[k]);
                escaped(html, text);
                free(text);
            }
            fputs("</pre></details>\n", html);
        }
}

static void task_section(const report *r, const result_kind *kind, writer *w) {
    char text[128];
    if (!first_of(r, kind))
        return;
    snprintf(text, sizeof text, "%c%s", kind->title[0] - 'a' + 'A', kind->title + 1);
    heading(w, text);
    paragraph(w, kind->measure);
    task_tables(r, kind, w);
    task_plots(r, kind, w->html);
    configurations(r, kind, w->html);
}

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>" TITLE "</title>\n<style>\n"
    ":root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc; --shade: #f3f3f3 }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #181818; --line: #555; --shade: "
    "#2a2a2a } }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 62rem; color: "
    "var(--ink); background: var(--paper) }\n"
    "h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .5rem }\n.wide { overflow-x: auto }\n"
    "table { border-collapse: collapse; font-size: .85rem; white-space: nowrap }\n"
    "th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); "
    "font-variant-numeric: tabular-nums }\n"
    "[scope=col] { vertical-align: bottom; background: var(--shade); white-space: normal; min-width: 4em }\n"
    "[scope=row] { font-weight: normal; background: var(--paper); white-space: normal }\n"
    "th:first-child { text-align: left; position: sticky; left: 0; min-width: min(10em, 26vw) }\n"
    "figure { margin: 1rem 0; overflow-x: auto }\nsvg { width: 100%; height: auto; max-width: 34rem }\n"
    "@media (min-width: 60rem) { figure { display: inline-block; width: 49% } }\n"
    "details { margin: .25rem 0 }\nsummary { cursor: pointer }\n"
    "pre { font-size: .8rem; overflow-x: auto; background: var(--shade); padding: .5rem }\n"
    /* Paper does not scroll. */
    "@media print { @page { size: A4 landscape; margin: 10mm }\n"
    ":root { color-scheme: light; --ink: #000; --paper: #fff; --line: #ccc; --shade: #f3f3f3 }\n"
    "body { max-width: none } .wide, figure { overflow: visible }\n"
    "table { font-size: 6.5pt; white-space: normal }\n"
    "th, td { padding: .1rem .2rem; min-width: 0 !important; position: static !important }\n"
    "figure { display: inline-block; width: 48% }\n"
    ".wide, figure, tr { break-inside: avoid } }\n</style>\n";

void write_page(const report *r, writer *w) {
    fputs(page_head, w->html);
    fputs("<h1>" TITLE "</h1>\n", w->html);
    fputs("# " TITLE "\n", w->md);
    paragraph(w,
              "Models whose core parameters are of equal size, trained on the same data, tested once with "
              "the weights that were best in validation. What else differs between them is said under each "
              "table. Figures over several seeds: mean ± standard deviation; one figure alone is of one "
              "seed.");
    paragraph(w,
              "Names: xlstm has mLSTM and sLSTM blocks, in the ratio behind an @ (xlstm@1:0 mLSTM only, "
              "xlstm@0:1 sLSTM only); lstm is a plain stack, lstm-res has LSTMs in residual pre-norm blocks; "
              "official is the Python package. core M: millions of parameters without embedding and head; "
              "core off: its difference from the size that all are matched to; last: at the last position "
              "of a sequence.");
    headline(r, w);
    const result_kind *kind;
    for (int i = 0; (kind = result_kind_at(i)); i++)
        task_section(r, kind, w);
    if (r->speed)
        speed_section(r, w);
    fprintf(w->html, "<p>Made by xlstm-report %s from %d result files.</p>\n</html>\n", xlstm_version(),
            r->results);
}
