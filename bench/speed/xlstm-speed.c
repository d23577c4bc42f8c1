/* xlstm-speed: how fast training, forward passes and decoding are, beside the machine's limits and PyTorch.
 * Each measurement has a process of its own, so that its peak memory is its own; those that are compared take
 * turns. */
#include "speed.h"
#include <math.h>
#include <unistd.h>

typedef struct {
    const char *name;
    int width, blocks, batch, time;
} shape;
static const shape shapes[] = {{"d256", 256, 4, 8, 256}, {"d512", 512, 6, 4, 512}};

typedef struct {
    option_words models, measures, shapes, weights;
    option_counts lengths, scaling;
    int width, blocks, heads, batch, time, vocab, threads, repeats, profile, serve;
    const char *device;
    double seconds;
    const char *peers, *script, *csv, *json;
} settings;

/* One line of the table. `versus` is the row it is compared with. */
typedef struct {
    child c;
    const char *shape;
    char label[48];
    int by_peer, versus; /* index in the group, or -1 */
} row;

/* What the machine can do on so many threads. */
typedef struct {
    int threads;
    double sgemm, read; /* FLOP/s and bytes/s; NAN: not measured */
} limits;

typedef struct {
    const settings *s;
    limits *of; /* [counts.count]: of each number of threads that is measured */
    option_counts counts;
    json_t *about; /* what all rows were measured with */
    json_t *rows;
    FILE *csv;  /* in memory, for what is written at the end; NULL: nothing */
    int failed; /* a row of this library was not measured */
} report;

/* ---- options ---- */

static const char *const models[] = {"mlstm",       "slstm",       "lstm", "lstm-res",
                                     "transformer", "mlstm-large", NULL};
static const char *const measures[] = {"train", "forward", "decode", NULL};
static const char *const shape_names[] = {"d256", "d512", NULL};

#define FIELD(field) OPTION_FIELD(settings, field)
static const option rows[] = {
    {.help = "What is measured:"},
    {"models", 0, FIELD(models), "LIST", .choices = models, .initial = "mlstm,slstm,lstm,transformer",
     .help =
         "comma list of mlstm, slstm, lstm (a plain stack), lstm-res (residual), transformer, mlstm-large"},
    {"measure", 0, FIELD(measures), "LIST", .choices = measures, .initial = "train,forward,decode",
     .help = "train (forward, loss, backward, optimizer step), forward (logits of the whole batch), decode "
             "(one token after another, batch 1)"},
    {"shapes", 0, FIELD(shapes), "LIST", .choices = shape_names, .initial = "d256,d512",
     .help =
         "d256 (width 256, 4 blocks, batch 8, time 256) and d512 (width 512, 6 blocks, batch 4, time 512)"},
    {"weights", 0, FIELD(weights), "LIST", .choices = weights_choices, .initial = "real",
     .help = "decode: real, bf16, int8, int4; those behind the first are compared with it"},
    {"lengths", 0, FIELD(lengths), "LIST", RANGE(1, 1 << 24),
     .help = "cost against length: these times, with as many streams as fill the longest"},
    {"scaling", 0, FIELD(scaling), "LIST", RANGE(1, XLSTM_MAX_THREADS),
     .help = "these numbers of threads, each compared with the first, beside what sgemm gains by them"},
    {"profile", 0, FIELD(profile),
     .help = "where the time goes: share, GFLOP/s and GB/s of each operation, in one sample of its own"},
    {.help = "Sizes, in place of those of the shapes:"},
    {"width", 0, FIELD(width), "N", RANGE(1, 65536), .help = "embedding width"},
    {"blocks", 0, FIELD(blocks), "N", RANGE(1, XLSTM_MAX_BLOCKS), .help = "blocks"},
    {"heads", 0, FIELD(heads), "N", RANGE(1, 1024), .initial = "4", .help = "heads"},
    {"batch", 0, FIELD(batch), "N", RANGE(1, 65536), .help = "streams"},
    {"time", 0, FIELD(time), "N", RANGE(1, 1 << 24), .help = "tokens of a stream"},
    {"vocab", 0, FIELD(vocab), "N", RANGE(2, 1 << 24), .initial = "1000", .help = "vocabulary"},
    {.help = "How:"},
    {"device", 0, FIELD(device), "NAME",
     .help = "where this library computes: cpu (default), cuda, cuda:N or auto"},
    {"threads", 0, FIELD(threads), "N", RANGE(1, XLSTM_MAX_THREADS),
     .help = "threads, of Python too (default: all)"},
    {"repeats", 0, FIELD(repeats), "N", RANGE(1, MAX_REPEATS), .initial = "5",
     .help = "samples of each measurement after the warm-up"},
    {"seconds", 0, FIELD(seconds), "X", RANGE(0, 3600), .initial = "0.25",
     .help = "a sample takes at least this long"},
    {"peers", 0, FIELD(peers), "PYTHON", .path = OPTION_RUN,
     .help = "compare with the official package and PyTorch, of this interpreter's environment; "
             "bench/peers/setup.sh makes one"},
    {"peers-script", 0, FIELD(script), "FILE", .path = OPTION_READ,
     .help = "speed.py (default: the one that came with this program)"},
    {"csv", 0, FIELD(csv), "FILE", .path = OPTION_WRITE, .own = "shape,model,measure,",
     .help = "write the rows as comma-separated values"},
    {"json", 0, FIELD(json), "FILE", .path = OPTION_WRITE, .own = "\"task\": \"speed\"",
     .help = "write everything as JSON"},
    {"serve", 0, FIELD(serve), .help = NULL},
    {0}};

static const option_table table = {
    .doc =
        "Measures how fast models train, read and decode, in tokens per second (median, least, most), beside "
        "what the machine can do: matrix products (sgemm) and reading memory. The first line names the "
        "processor, the instruction set of the kernels in use, and the one that OpenBLAS took for the "
        "processor: an old one, such as Prescott, makes its sgemm slow, and no measure of the machine.\v"
        "Examples:\n"
        "  xlstm-speed --shapes d256\n"
        "  xlstm-speed --models mlstm --measure decode --weights real,bf16,int8,int4\n"
        "  xlstm-speed --models mlstm --measure train --lengths 512,2048,16384\n"
        "  xlstm-speed --measure train --scaling 1,2,4,16\n"
        "  xlstm-speed --peers ~/peers/bin/python --json speed.json\n\n"
        "A row behind another with an indented name is compared with it; \"ratio\" says by how much the "
        "upper one, or the one it belongs to, is faster. \"plan\" is the memory that a trainer says it "
        "needs, \"peak\" what the process had. With --peers a whole run takes long: official sLSTMs train "
        "slowly. Single rows can be had by --models, --measure and --shapes.",
    .rows = rows};

/* bench/peers/speed.py: beside the program where it was built, in share/ where it was installed. */
static const char *find_script(void) {
    static const char *const places[] = {"peers/speed.py", "../share/xlstm/peers/speed.py"};
    static char path[4096 + 64];
    ssize_t n = readlink("/proc/self/exe", path, 4096);
    for (size_t i = 0; n > 0 && i < sizeof places / sizeof *places; i++) {
        path[n] = 0;
        strcpy(strrchr(path, '/') + 1, places[i]);
        if (!access(path, R_OK))
            return path;
    }
    die("speed.py is not where it was put beside this program; name it by --peers-script");
}

/* Lengths and threads are compared with each other, at full precision, and with nothing else. */
static void check_comparison(const settings *s) {
    if ((s->lengths.count > 0) + (s->scaling.count > 0) + (s->peers != NULL) > 1)
        die("--lengths, --scaling and --peers compare different things; give one of them");
    if (s->lengths.count && (s->batch || s->time))
        die("--lengths sets batch and time of each measurement; leave --batch and --time out");
    if (s->scaling.count && s->threads)
        die("--scaling names the threads of each measurement; leave --threads out");
    if ((s->lengths.count || s->scaling.count) && (s->weights.count > 1 || strcmp(s->weights.of[0], "real")))
        die("--weights is given with --lengths or --scaling, which measure real weights only; leave one out");
}

static const shape *shape_of(const char *name) {
    return strcmp(name, shapes[0].name) ? &shapes[1] : &shapes[0];
}

/* Of a model and a measure that are still to be named. */
static request request_of(const settings *s, const shape *sh) {
    return (request){.weights = "real",
                     .width = s->width ? s->width : sh->width,
                     .blocks = s->blocks ? s->blocks : sh->blocks,
                     .heads = s->heads,
                     .batch = s->batch ? s->batch : sh->batch,
                     .time = s->time ? s->time : sh->time,
                     .vocab = s->vocab,
                     .threads = s->threads,
                     .seconds = s->seconds};
}

/* Sizes that make no model. */
static void check_sizes(const settings *s) {
    for (int i = 0; i < s->shapes.count; i++)
        for (int m = 0; m < s->models.count; m++) {
            request q = request_of(s, shape_of(s->shapes.of[i]));
            q.model = s->models.of[m];
            const xlstm_config c = model_config(&q);
            check(xlstm_config_check(&c));
        }
}

static settings parse(int argc, char **argv) {
    settings s = {0};
    read_options(&s, &table, argc, argv);
    if (s.serve)
        exit(serve());
    if (s.device) {
        check(xlstm_set_device(s.device));
        setenv("XLSTM_DEVICE", s.device, 1); /* of the programs that take the samples */
    }
    check_comparison(&s);
    s.threads = s.threads ? s.threads : xlstm_get_threads();
    check_sizes(&s);
    if (s.peers && !s.script)
        s.script = find_script();
    return s;
}

/* ---- measuring ---- */

static void show(const row *rows, int count, int turn, int repeats) {
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%-60.60s %d/%d ", rows[count > 1 && rows[1].by_peer ? 1 : 0].label, turn, repeats);
}

static void clear_line(void) {
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%79s\r", "");
}

/* All rows take turns, so that a disturbance hits each of them. Between turns the other's threads fall
 * asleep. */
static void run_group(const settings *s, row *rows, int count) {
    for (int i = 0; i < count; i++) {
        child *c = &rows[i].c;
        c->what.parameters = rows[i].by_peer ? (json_int_t)rows[0].c.parameters : 0;
        show(rows, count, 0, s->repeats);
        child_start(c, rows[i].by_peer ? s->peers : NULL, s->script);
    }
    for (int turn = 0; turn < s->repeats; turn++)
        for (int i = 0; i < count; i++) {
            usleep(20000);
            child_sample(&rows[i].c);
            show(rows, count, turn + 1, s->repeats);
        }
    for (int i = 0; i < count; i++)
        child_end(&rows[i].c);
    clear_line();
}

static double most(const child *c) {
    return c->failure || !c->samples ? NAN : c->rates[c->samples - 1];
}

static void free_group(row *rows, int count) {
    for (int i = 0; i < count; i++) {
        free(rows[i].c.failure);
        json_decref(rows[i].c.profile);
    }
    free(rows);
}

/* Twice each: what counts is the best, and reading is the best of five by itself. */
static void measure_machine(report *r) {
    settings twice = *r->s;
    twice.repeats = 2;
    int count = r->counts.count;
    r->of = need((size_t)count * sizeof *r->of);
    row *rows = need(2 * (size_t)count * sizeof *rows);
    static const char *const names[] = {"sgemm", "read"};
    for (int i = 0; i < 2 * count; i++)
        rows[i].c.what = (request){.model = "machine",
                                   .measure = names[i % 2],
                                   .weights = "real",
                                   .threads = r->counts.of[i / 2],
                                   .seconds = r->s->seconds};
    run_group(&twice, rows, 2 * count);
    for (int i = 0; i < count; i++)
        r->of[i] = (limits){r->counts.of[i], most(&rows[2 * i].c), most(&rows[2 * i + 1].c)};
    free_group(rows, 2 * count);
}

static const limits *limits_of(const report *r, int threads) {
    const limits *l = r->of;
    while (l->threads != threads)
        l++;
    return l;
}

/* Kernels are chosen by the first session or trainer, and here there is none: it is done as they do. */
static json_t *describe_machine(void) {
    const char *wanted = getenv("XLSTM_BACKEND");
    if (wanted && *wanted)
        check(xlstm_set_backend(wanted));
    return json_pack("{s:o,s:s,s:s?}", "processor", processor_name(), "kernels", xlstm_get_backend(),
                     "blas_core", blas_core());
}

/* ---- rows of the table ---- */

static void print_limits(const limits *l, const limits *first) {
    printf("threads %d; this machine:", l->threads);
    if (isfinite(l->sgemm))
        printf(" sgemm %.0f GFLOP/s", l->sgemm / 1e9);
    if (isfinite(l->sgemm) && l != first)
        printf(" (%.2fx)", l->sgemm / first->sgemm);
    printf("%s memory read %.1f GB/s", isfinite(l->sgemm) ? "," : "", l->read / 1e9);
    if (l != first)
        printf(" (%.2fx)", l->read / first->read);
    putchar('\n');
}

static void print_machine(const report *r) {
    const char *core = result_text(r->about, "blas_core");
    printf("%s; kernels %s%s%s\n", result_text(r->about, "processor"), result_text(r->about, "kernels"),
           *core ? "; sgemm by OpenBLAS for " : "", core);
    for (int i = 0; i < r->counts.count; i++)
        print_limits(&r->of[i], r->of);
    printf("vocabulary %d, %d heads, float32; median, least and most of %d samples\n", r->s->vocab,
           r->s->heads, r->s->repeats);
}

static void print_head(const settings *s, const request *q, const char *name) {
    char rows[64] = "batch x time as long as the longest";
    if (!s->lengths.count)
        snprintf(rows, sizeof rows, "batch %d, time %d", q->batch, q->time);
    printf("\n%s: width %d, %d blocks, %s\n%-22s %10s %10s %10s %8s %6s %7s %6s %8s %8s %7s%s\n", name,
           q->width, q->blocks, rows, "", "tokens/s", "least", "most", "GFLOP/s", "sgemm", "GB/s", "read",
           "peak MB", "plan MB", "ratio", s->scaling.count ? " sgemm's" : "");
}

static void cell(int width, int decimals, double value, const char *unit) {
    if (isfinite(value) && value > 0)
        printf(" %*.*f%s", width - (int)strlen(unit), decimals, value, unit);
    else
        printf(" %*s", width, "");
}

typedef struct {
    double median, flops, sgemm_share, bytes, read_share, ratio;
    double sgemm_ratio; /* where threads are compared: what sgemm gains by the same */
} figures;

static figures figures_of(const report *r, const row *rows, int i) {
    const child *c = &rows[i].c;
    int versus = rows[i].versus;
    figures f = {.median = child_median(c)};
    int decode = !strcmp(c->what.measure, "decode");
    f.flops = decode || !c->flops ? NAN : f.median * c->flops;
    const limits *l = limits_of(r, c->what.threads);
    f.sgemm_share = f.flops / l->sgemm;
    f.bytes = decode && c->bytes > 0 ? f.median * c->bytes : NAN;
    f.read_share = f.bytes / l->read;
    f.ratio = versus >= 0 ? f.median / child_median(&rows[versus].c) : NAN;
    f.sgemm_ratio = versus >= 0 && r->s->scaling.count ? l->sgemm / r->of->sgemm : NAN;
    return f;
}

static void print_row(const report *r, const row *rows, int i) {
    const child *c = &rows[i].c;
    figures f = figures_of(r, rows, i);
    printf("%-22s", rows[i].label);
    if (c->failure) {
        printf(" not run: %s\n", c->failure);
        return;
    }
    cell(10, f.median < 100 ? 1 : 0, f.median, "");
    cell(10, f.median < 100 ? 1 : 0, c->rates[0], "");
    cell(10, f.median < 100 ? 1 : 0, most(c), "");
    cell(8, 1, f.flops / 1e9, "");
    cell(6, 0, 100 * f.sgemm_share, "%");
    cell(7, 1, f.bytes / 1e9, "");
    cell(6, 0, 100 * f.read_share, "%");
    cell(8, 0, c->peak / 1e6, "");
    cell(8, 0, c->planned / 1e6, "");
    cell(7, 2, f.ratio, "x");
    if (r->s->scaling.count)
        cell(8, 2, f.sgemm_ratio, "x");
    putchar('\n');
    flush_output();
}

static int by_share(const void *a, const void *b) {
    double x = json_number_value(json_object_get(*(json_t *const *)a, "share"));
    double y = json_number_value(json_object_get(*(json_t *const *)b, "share"));
    return (x < y) - (x > y);
}

static void print_profile(const child *c) {
    size_t n = json_array_size(c->profile);
    json_t **ops = need(n * sizeof *ops);
    double rest = 1;
    for (size_t i = 0; i < n; i++)
        ops[i] = json_array_get(c->profile, i);
    qsort(ops, n, sizeof *ops, by_share);
    for (size_t i = 0; i < n; i++) {
        double share = json_number_value(json_object_get(ops[i], "share"));
        printf("    %-18s %9.1f%% %9.0f calls        ", json_string_value(json_object_get(ops[i], "op")),
               100 * share, json_number_value(json_object_get(ops[i], "calls")));
        cell(8, 1, json_number_value(json_object_get(ops[i], "flops")) / 1e9, "");
        cell(14, 1, json_number_value(json_object_get(ops[i], "bytes_per_second")) / 1e9, "");
        putchar('\n');
        rest -= share;
    }
    if (n)
        printf("    %-18s %9.1f%%\n", "between them", 100 * rest);
    free(ops);
}

static json_t *row_json(const report *r, const row *rows, int i) {
    const row *w = &rows[i];
    const child *c = &w->c;
    figures f = figures_of(r, rows, i);
    json_t *samples = json_array();
    for (int n = 0; n < c->samples; n++)
        json_array_append_new(samples, number(c->rates[n]));
    const char *by = w->by_peer ? "python" : "libxlstm";
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s?}",
        "shape", w->shape, "model", c->what.model, "measure", c->what.measure, "by", by, "weights",
        c->what.weights, "width", c->what.width, "blocks", c->what.blocks, "heads", c->what.heads, "batch",
        strcmp(c->what.measure, "decode") ? c->what.batch : 1, "time", c->what.time, "vocab", c->what.vocab,
        "threads", c->what.threads, "parameters", number(c->parameters), "tokens_per_second",
        number(f.median), "samples", samples, "flops", number(f.flops), "share_of_sgemm",
        number(f.sgemm_share), "bytes_per_second", number(f.bytes), "share_of_read", number(f.read_share),
        "peak_bytes", number(c->failure ? NAN : c->peak), "planned_bytes",
        number(c->planned > 0 ? c->planned : NAN), "ratio", number(f.ratio), "sgemm_ratio",
        number(f.sgemm_ratio), "not_run", c->failure);
}

/* The same fields as in JSON, with the list of samples as its least and most. */
static void write_csv_line(FILE *f, json_t *row, int head) {
    const char *key;
    json_t *value;
    const char *comma = "";
    json_object_foreach(row, key, value) {
        if (!strcmp(key, "profile"))
            continue;
        size_t n = json_array_size(value);
        fputs(comma, f);
        comma = ",";
        if (head)
            fputs(json_is_array(value) ? "least,most" : key, f);
        else if (json_is_string(value))
            fprintf(f, "\"%s\"", json_string_value(value));
        else if (json_is_array(value) && n)
            fprintf(f, "%.9g,%.9g", json_number_value(json_array_get(value, 0)),
                    json_number_value(json_array_get(value, n - 1)));
        else if (json_is_array(value))
            fputs(",", f);
        else if (json_is_number(value))
            fprintf(f, "%.9g", json_number_value(value));
    }
    fputc('\n', f);
}

/* What all rows have in common, each has by itself here. */
static void write_csv(const report *r, const json_t *j) {
    json_t *row = json_copy((json_t *)(uintptr_t)j);
    json_object_update(row, r->about);
    if (!json_array_size(r->rows))
        write_csv_line(r->csv, row, 1);
    write_csv_line(r->csv, row, 0);
    json_decref(row);
}

static void finish_group(report *r, row *rows, int count) {
    run_group(r->s, rows, count);
    for (int i = 0; i < count; i++) {
        print_row(r, rows, i);
        if (r->s->profile)
            print_profile(&rows[i].c);
        r->failed |= rows[i].c.failure && !rows[i].by_peer;
        json_t *j = row_json(r, rows, i);
        if (r->s->profile)
            json_object_set(j, "profile", rows[i].c.profile);
        if (r->csv)
            write_csv(r, j);
        json_array_append_new(r->rows, j);
    }
}

/* ---- what is compared with what ---- */

__attribute__((format(printf, 4, 5))) static row *add_row(row *rows, int *count, const request *q,
                                                          const char *label, ...) {
    row *w = &rows[(*count)++];
    va_list args;
    va_start(args, label);
    vsnprintf(w->label, sizeof w->label, label, args);
    va_end(args);
    w->c.what = *q;
    w->versus = -1;
    return w;
}

static const char *peer_name(const char *model) {
    return !strcmp(model, "lstm")          ? "nn.LSTM"
           : !strcmp(model, "transformer") ? "nn.TransformerEncoder"
                                           : "official package";
}

/* Ours, theirs, and decoding with smaller weights beside ours. */
static int pairs(const settings *s, const request *q, row *rows) {
    int count = 0, decode = !strcmp(q->measure, "decode");
    request first = *q;
    first.weights = decode ? s->weights.of[0] : "real";
    row *ours =
        add_row(rows, &count, &first, "%s %s%s%s", q->model, q->measure,
                strcmp(first.weights, "real") ? " " : "", strcmp(first.weights, "real") ? first.weights : "");
    if (s->peers) {
        add_row(rows, &count, q, "  %s", peer_name(q->model))->by_peer = 1;
        ours->versus = 1;
    }
    for (int i = 1; decode && i < s->weights.count; i++) {
        first.weights = s->weights.of[i];
        add_row(rows, &count, &first, "  %s over %s", first.weights, s->weights.of[0])->versus = 0;
    }
    return count;
}

static int lengths(const settings *s, const request *q, row *rows) {
    int count = 0, longest = 0;
    for (int i = 0; i < s->lengths.count; i++)
        longest = s->lengths.of[i] > longest ? s->lengths.of[i] : longest;
    for (int i = 0; i < s->lengths.count; i++) {
        request one = *q;
        one.time = s->lengths.of[i];
        one.batch = longest / one.time;
        add_row(rows, &count, &one, "%s%s %s T=%d", i ? "  " : "", q->model, q->measure, one.time)->versus =
            i ? 0 : -1;
    }
    return count;
}

static int scaling(const settings *s, const request *q, row *rows) {
    int count = 0;
    for (int i = 0; i < s->scaling.count; i++) {
        request one = *q;
        one.threads = s->scaling.of[i];
        add_row(rows, &count, &one, "%s%s %s x%d", i ? "  " : "", q->model, q->measure, one.threads)->versus =
            i ? 0 : -1;
    }
    return count;
}

/* One that is changed has another name. */
static void shape_name(const settings *s, const shape *sh, char name[64]) {
    int n = s->width ? snprintf(name, 64, "d%d", s->width) : snprintf(name, 64, "%s", sh->name);
    if (s->blocks)
        snprintf(name + n, 64 - (size_t)n, " x%d", s->blocks);
}

static void measure_shape(report *r, const shape *sh) {
    const settings *s = r->s;
    request q = request_of(s, sh);
    char name[64];
    shape_name(s, sh, name);
    print_head(s, &q, name);
    for (int m = 0; m < s->models.count; m++)
        for (int k = 0; k < s->measures.count; k++) {
            row *rows =
                need((size_t)(2 + s->lengths.count + s->scaling.count + s->weights.count) * sizeof *rows);
            q.model = s->models.of[m];
            q.measure = s->measures.of[k];
            int count = s->lengths.count   ? lengths(s, &q, rows)
                        : s->scaling.count ? scaling(s, &q, rows)
                                           : pairs(s, &q, rows);
            for (int i = 0; i < count; i++)
                rows[i].shape = name;
            finish_group(r, rows, count);
            free_group(rows, count);
        }
}

static json_t *limits_json(const report *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->counts.count; i++)
        json_array_append_new(list, json_pack("{s:i,s:o,s:o}", "threads", r->of[i].threads, "sgemm_flops",
                                              number(r->of[i].sgemm), "read_bytes_per_second",
                                              number(r->of[i].read)));
    return list;
}

/* Takes the rows and what they were measured with. Of several numbers of threads the last one's limits stand
 * for the machine. */
static json_t *report_json(const report *r) {
    const limits *l = &r->of[r->counts.count - 1];
    json_t *j =
        json_pack("{s:i,s:s,s:s}", "schema", SPEED_SCHEMA, "task", "speed", "library", xlstm_version());
    json_object_update(j, r->about);
    json_decref(r->about);
    json_t *rest =
        json_pack("{s:i,s:o,s:o,s:o,s:o}", "threads", l->threads, "sgemm_flops", number(l->sgemm),
                  "read_bytes_per_second", number(l->read), "limits", limits_json(r), "rows", r->rows);
    json_object_update(j, rest);
    json_decref(rest);
    return j;
}

int main(int argc, char **argv) {
    settings s = parse(argc, argv);
    report r = {.s = &s, .counts = {1, &s.threads}, .about = describe_machine(), .rows = json_array()};
    if (s.scaling.count)
        r.counts = s.scaling;
    char *csv = NULL;
    size_t size;
    if (s.csv && !(r.csv = open_memstream(&csv, &size)))
        die("no memory for %s", s.csv);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* runs are long, and may be ended before their end */
    measure_machine(&r);
    print_machine(&r);
    flush_output();
    for (int i = 0; i < s.shapes.count; i++)
        measure_shape(&r, shape_of(s.shapes.of[i]));
    if (r.csv && fclose(r.csv))
        die("no memory for %s", s.csv);
    if (csv)
        check(xlstm_file_write(s.csv, csv, size));
    free(csv);
    write_json(s.json, report_json(&r));
    free(r.of);
    return r.failed ? 2 : 0;
}
