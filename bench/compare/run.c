/* run.c - the engine: trains one model on one task, keeps the best weights by validation, tests them once,
 * and can stop and go on at any step. Everything that decides the numbers is in "setup"; two runs of one
 * setup give the same "outcome", whatever stops, threads and machines lie between. */
#include "bench.h"
#include "paths.h"
#include "xlstm/checkpoint.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const double clip = 1, final_fraction = 0.05;

/* A run under way. What stands behind `step` is kept in a checkpoint beside the trainer and the optimizer. */
typedef struct {
    const run_plan *plan;
    json_t *setup;
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    int64_t *rows;            /* [batch] */
    char *checkpoint;         /* its file, or NULL */
    double saved;             /* when, by now() */
    size_t weights;           /* numbers in the module */
    xlstm_real *best_weights; /* [weights], by validation */

    int64_t step, best_step, diverged;
    double best, tokens, seconds, evaluating; /* seconds of training, of validating */
    double loss_sum, loss_count;              /* since the last validation */
    int64_t peak_kib;
    json_t *points, *first_losses;
} run;

/* ---- stopping ---- */

static volatile sig_atomic_t signalled;

/* Asked twice: at once. A terminal's SIGINT and the SIGTERM of the script that it stopped, too, are one
 * request; so are the SIGHUPs of a terminal that is closed and of the shell in it. */
static void on_signal(int number) {
    if (signalled == number && number != SIGHUP)
        _exit(130);
    signalled = number;
}

/* Under nohup the end of a terminal is none of the run: SIGHUP stays ignored. */
static void listen_to_signals(void) {
    struct sigaction action = {.sa_handler = on_signal}, before = {0};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, NULL, &before);
    if (before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

static int must_stop(const run *r) {
    return signalled || now() >= r->plan->deadline;
}

/* ---- progress ---- */

typedef struct {
    double started, shown, tokens, loss;
    int64_t first_step;
} progress;

static void progress_show(progress *p, const run *r, double loss, double tokens) {
    double t = now();
    int64_t steps = r->plan->steps, done = r->step - p->first_step;
    p->tokens += tokens;
    p->loss = p->loss > 0 ? 0.95 * p->loss + 0.05 * loss : loss;
    if (!isatty(STDERR_FILENO) || (t - p->shown < 0.5 && r->step < steps))
        return;
    double used = t - p->started, left = used / (double)done * (double)(steps - r->step);
    fprintf(stderr, "\r%-28s step %6lld/%lld  loss %8.4f  %8.0f %s/s  %d:%02d left ", r->plan->name,
            (long long)r->step, (long long)steps, p->loss, p->tokens / used, r->plan->t->kind->counted,
            (int)left / 60, (int)left % 60);
    p->shown = t;
}

static void progress_end(void) {
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%94s\r", "");
}

/* ---- describing ---- */

/* What has been counted, and the whole configuration; `dropout` as results have had it from the first on. */
static json_t *describe_model(const row_model *r) {
    json_t *model =
        json_pack("{s:s, s:i, s:b, s:I, s:I, s:f}", "name", r->name, "width", r->config.embedding_dim,
                  "carries_state", r->carries, "core_parameters", (json_int_t)r->core, "embedding_parameters",
                  (json_int_t)r->embedding, "core_off_target_percent", r->off_target);
    size_t bytes;
    xlstm_config_to_json(&r->config, NULL, 0, &bytes);
    char *text = need(bytes);
    check(xlstm_config_to_json(&r->config, text, bytes, &bytes));
    json_t *config = json_loads(text, 0, NULL);
    free(text);
    json_object_update(model, config);
    json_decref(config);
    json_object_set_new(model, "dropout", json_real((double)r->config.dropout));
    return model;
}

static int64_t warmup_of(int64_t steps) {
    return steps / 20 + 1;
}

static int64_t every_of(const run_plan *p) {
    return (p->steps + p->o->p.evaluations - 1) / p->o->p.evaluations;
}

/* Only chooses the learning rate: the test set is not touched. */
static int is_short(const run_plan *p) {
    return p->trial && p->steps < p->o->p.steps;
}

static size_t validation_limit(const run_plan *p) {
    const preset *s = &p->o->p;
    return is_short(p) && s->search_valid_size ? s->search_valid_size : s->valid_size;
}

static json_t *describe_training(const run_plan *p) {
    return json_pack("{s:I, s:i, s:i, s:s, s:f, s:s, s:I, s:f, s:f, s:f, s:I, s:I, s:b, s:b, s:s}", "steps",
                     (json_int_t)p->steps, "batch", p->t->batch, "window", p->t->time, "optimizer",
                     "AdamW, betas 0.9 and 0.95, eps 1e-8", "learning_rate", (double)p->lr, "schedule",
                     "linear warm-up, then cosine to 5 % of the peak", "warmup_steps",
                     (json_int_t)warmup_of(p->steps), "final_fraction", final_fraction, "weight_decay",
                     (double)p->o->p.weight_decay, "clip", clip, "validation_every", (json_int_t)every_of(p),
                     "validation_limit", (json_int_t)validation_limit(p), "carries_state",
                     p->t->carry && p->row->carries, "search", is_short(p), "products",
                     p->o->products == XLSTM_PRODUCTS_BF16 ? "bf16" : "real");
}

static json_t *describe_setup(const run_plan *p) {
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "task", p->t->kind->name, "preset", p->o->preset,
                     "seed", (json_int_t)p->seed, "model", describe_model(p->row), "training",
                     describe_training(p), "data", p->t->describe(p->t));
}

/* The process's highest memory since the run began: Linux starts the count anew when 5 is written there. */
static void restart_peak(void) {
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

static int64_t peak_kib(void) {
    char line[256];
    long long peak = 0;
    struct rusage usage;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld", &peak) == 1)
            break;
    if (f)
        fclose(f);
    getrusage(RUSAGE_SELF, &usage);
    return peak ? peak : usage.ru_maxrss;
}

static void note_peak(run *r) {
    int64_t peak = peak_kib();
    r->peak_kib = peak > r->peak_kib ? peak : r->peak_kib;
}

static json_t *describe_machine(const run *r) {
    return json_pack("{s:o, s:i, s:s, s:s, s:f, s:f, s:o, s:I}", "cpu", processor_name(), "threads",
                     xlstm_get_threads(), "library", xlstm_version(), "commit", XLSTM_COMMIT, "seconds",
                     r->seconds, "seconds_validating", r->evaluating, "tokens_per_second",
                     number(r->tokens / r->seconds), "peak_memory_kib", (json_int_t)r->peak_kib);
}

static json_t *describe_result(const run *r, json_t *test) {
    json_t *outcome = json_pack("{s:o, s:I, s:o, s:f, s:o}", "diverged",
                                r->diverged < 0 ? json_null() : json_integer(r->diverged), "best_step",
                                (json_int_t)r->best_step, "best_valid_loss", number(r->best), "train_tokens",
                                r->tokens, "test", test);
    return json_pack("{s:i, s:s, s:O, s:o, s:O, s:O, s:o, s:o}", "schema", RESULT_SCHEMA, "command",
                     r->plan->o->command, "setup", r->setup, "outcome", outcome, "evaluations", r->points,
                     "first_losses", r->first_losses, "learning_rate_search",
                     r->plan->searched ? json_incref(r->plan->searched) : json_array(), "machine",
                     describe_machine(r));
}

/* ---- checkpoints: JSON of what stands in `run`, then the best weights ---- */

static json_t *position(const run *r) {
    return json_pack("{s:O, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:f, s:f, s:I, s:O, s:O}", "setup", r->setup,
                     "step", (json_int_t)r->step, "best_step", (json_int_t)r->best_step, "diverged",
                     (json_int_t)r->diverged, "best", number(r->best), "tokens", r->tokens, "seconds",
                     r->seconds, "evaluating", r->evaluating, "loss_sum", r->loss_sum, "loss_count",
                     r->loss_count, "peak_kib", (json_int_t)r->peak_kib, "points", r->points, "first_losses",
                     r->first_losses);
}

static void save(run *r) {
    if (!r->checkpoint)
        return;
    note_peak(r);
    json_t *j = position(r);
    char *text = json_dumps(j, JSON_REAL_PRECISION(17)); /* every double comes back as it was */
    size_t length = strlen(text) + 1, weights = r->weights * sizeof *r->best_weights;
    char *user = need(length + weights);
    memcpy(user, text, length);
    memcpy(user + length, r->best_weights, weights);
    check(xlstm_checkpoint_save(r->checkpoint, r->tr, r->opt, user, length + weights));
    free(user);
    free(text);
    json_decref(j);
    r->saved = now();
}

static void take_position(run *r, const json_t *j) {
    r->step = json_integer_value(result_at(j, "step"));
    r->best_step = json_integer_value(result_at(j, "best_step"));
    r->diverged = json_integer_value(result_at(j, "diverged"));
    r->best = json_is_null(result_at(j, "best")) ? INFINITY : result_number(j, "best");
    r->tokens = result_number(j, "tokens");
    r->seconds = result_number(j, "seconds");
    r->evaluating = result_number(j, "evaluating");
    r->loss_sum = result_number(j, "loss_sum");
    r->loss_count = result_number(j, "loss_count");
    r->peak_kib = json_integer_value(result_at(j, "peak_kib"));
    json_decref(r->points);
    json_decref(r->first_losses);
    r->points = json_incref(result_at(j, "points"));
    r->first_losses = json_incref(result_at(j, "first_losses"));
}

/* What a checkpoint's user wrote, to be freed, and its beginning as JSON, which *said has; NULL when it is
 * none, as in a checkpoint of another program's. */
static xlstm_status peek(const char *checkpoint, char **user, size_t *bytes, json_t **said) {
    xlstm_checkpoint_info info = {.struct_size = sizeof info};
    xlstm_status status = xlstm_checkpoint_peek(checkpoint, &info, NULL, 0);
    *bytes = info.user_bytes;
    *user = need(*bytes + 1);
    if (status == XLSTM_OK)
        status = xlstm_checkpoint_peek(checkpoint, NULL, *user, *bytes);
    (*user)[*bytes] = 0; /* another's may have no end */
    *said = status == XLSTM_OK ? json_loads(*user, 0, NULL) : NULL;
    return status;
}

static void refuse_other(const run *r, const json_t *said, size_t bytes) {
    char says[RESULT_DIFFERENCE];
    const json_t *setup = result_at(said, "setup");
    if (setup && !result_same(r->setup, setup, says))
        die("%s is of a run with other settings or data (%s); give them again, or another --checkpoint "
            "folder",
            r->checkpoint, says);
    if (!setup || bytes <= r->weights * sizeof *r->best_weights)
        die("%s is no checkpoint of these programs; move it away", r->checkpoint);
}

/* Goes on from the run's checkpoint if there is one. */
static void resume(run *r) {
    size_t bytes, weights = r->weights * sizeof *r->best_weights;
    char *user;
    json_t *said;
    xlstm_status status = peek(r->checkpoint, &user, &bytes, &said);
    if (status == XLSTM_OK) {
        refuse_other(r, said, bytes);
        status = xlstm_checkpoint_load(r->checkpoint, r->tr, r->opt, user, bytes);
    }
    if (status == XLSTM_OK) {
        take_position(r, said);
        memcpy(r->best_weights, user + bytes - weights, weights);
    } else if (status == XLSTM_E_FORMAT)
        result_set_aside(r->checkpoint, xlstm_last_error());
    else if (status != XLSTM_E_NOT_FOUND)
        die("%s: %s", r->checkpoint, xlstm_last_error());
    json_decref(said);
    free(user);
}

/* ---- training ---- */

static void copy_weights(xlstm_module *m, xlstm_real *copy, int back) {
    xlstm_parameter p;
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        check(xlstm_module_parameter(m, i, &p));
        check(back ? xlstm_module_write(m, i, copy) : xlstm_module_read(m, i, copy));
        copy += p.count;
    }
}

static xlstm_schedule schedule_of(const run_plan *p) {
    return (xlstm_schedule){XLSTM_WARMUP_COSINE, p->lr, (float)final_fraction, warmup_of(p->steps), p->steps};
}

/* One update, or the note that the run has diverged: the loss or a gradient is not finite.
 * @return the mean loss; *count: what it is the mean of */
static double one_step(run *r, double *count) {
    task *t = r->plan->t;
    xlstm_loss loss;
    xlstm_schedule schedule = schedule_of(r->plan);
    if (t->rows(t, r->plan->seed, r->step, r->rows))
        check(xlstm_trainer_reset(r->tr, -1));
    xlstm_batch b = t->batch_of(t, r->rows);
    xlstm_status status = xlstm_trainer_backward(r->tr, &b, &loss);
    if (status == XLSTM_OK)
        status = xlstm_optimizer_step(r->opt, r->tr, xlstm_schedule_rate(&schedule, r->step), NULL);
    if (status == XLSTM_E_NUMERIC)
        r->diverged = r->step;
    else
        check(status);
    if (r->step < FIRST_LOSSES)
        json_array_append_new(r->first_losses, number(loss.mean));
    r->step++;
    r->tokens += *count = loss.count;
    if (r->diverged < 0) { /* a checkpoint has no place for what is not finite */
        r->loss_sum += loss.sum;
        r->loss_count += loss.count;
    }
    return loss.mean;
}

static void validate(run *r) {
    task *t = r->plan->t;
    double started = now(), value = t->validate(t, r->m, validation_limit(r->plan));
    xlstm_schedule schedule = schedule_of(r->plan);
    r->evaluating += now() - started;
    if (value < r->best) {
        r->best = value;
        r->best_step = r->step;
        copy_weights(r->m, r->best_weights, 0);
    }
    json_array_append_new(r->points, json_pack("{s:I, s:f, s:f, s:o, s:o, s:f}", "step", (json_int_t)r->step,
                                               "tokens", r->tokens, "learning_rate",
                                               (double)xlstm_schedule_rate(&schedule, r->step - 1),
                                               "train_loss", number(r->loss_sum / r->loss_count),
                                               "valid_loss", number(value), "seconds", r->seconds));
    r->loss_sum = r->loss_count = 0;
}

/* Every piece of a run makes a step at least, so that pieces of any size come to an end.
 * @return whether training has come to its end */
static int train(run *r) {
    int64_t steps = r->plan->steps, every = every_of(r->plan);
    progress shown = {.started = now(), .first_step = r->step};
    while (r->step < steps && r->diverged < 0) {
        double started = now(), count, loss = one_step(r, &count);
        r->seconds += now() - started;
        progress_show(&shown, r, loss, count);
        if (r->diverged < 0 && (r->step % every == 0 || r->step == steps))
            validate(r);
        if (must_stop(r))
            break;
        if (now() - r->saved >= r->plan->o->checkpoint_every)
            save(r);
    }
    progress_end();
    save(r);
    return r->step == steps || r->diverged >= 0;
}

static void start(run *r) {
    const run_plan *p = r->plan;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_trainer_config_init(&tc);
    tc.batch = p->t->batch;
    tc.time = p->t->time;
    tc.carry_state = p->t->carry && p->row->carries;
    tc.seed = mixed(p->seed, 0, 3);
    tc.products = p->o->products;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    oc.weight_decay = p->o->p.weight_decay;
    oc.clip = (float)clip;
    check(xlstm_model_create(&r->m, &p->row->config, p->seed));
    check(xlstm_trainer_create(&r->tr, r->m, &tc));
    check(xlstm_optimizer_create(&r->opt, r->m, &oc));
    r->weights = xlstm_module_size(r->m);
    r->best_weights = need(r->weights * sizeof *r->best_weights);
    r->rows = need((size_t)p->t->batch * sizeof *r->rows);
    r->points = json_array();
    r->first_losses = json_array();
    r->setup = describe_setup(p);
    r->diverged = -1;
    r->best = INFINITY;
    r->saved = now();
}

static void end(run *r) {
    xlstm_optimizer_free(r->opt);
    xlstm_trainer_free(r->tr);
    xlstm_module_free(r->m);
    free(r->best_weights);
    free(r->rows);
    free(r->checkpoint);
    json_decref(r->points);
    json_decref(r->first_losses);
    json_decref(r->setup);
}

/* Seeds may be run one by one, and each has its own weights. */
static const char *saved_name(const run_plan *p) {
    return p->o->seeds_given ? p->name : p->row->name;
}

static void save_model(const run *r) {
    const run_plan *p = r->plan;
    char *dir = make_folder(p->o->save, saved_name(p));
    check(xlstm_module_save(r->m, dir));
    if (p->t->keep_words)
        p->t->keep_words(p->t, dir);
    free(dir);
}

/* The test of the best weights; a model that never had any is not tested. */
static json_t *final_test(run *r) {
    if (is_short(r->plan) || !r->best_step)
        return json_null();
    copy_weights(r->m, r->best_weights, 1);
    if (r->plan->o->save && !r->plan->trial)
        save_model(r);
    return r->plan->t->test(r->plan->t, r->m);
}

static json_t *make_result(const run_plan *p, char *checkpoint) {
    run r = {.plan = p, .checkpoint = checkpoint};
    json_t *result = NULL;
    restart_peak();
    start(&r);
    if (checkpoint && (p->o->resume || p->trial))
        resume(&r);
    if (train(&r)) {
        json_t *test = final_test(&r);
        note_peak(&r);
        result = describe_result(&r, test);
    }
    end(&r);
    return result;
}

/* Runs of a search are shared, so those that are there are welcome, and those that were begun. */
static void refuse_finished(const run_plan *p, const char *path) {
    if (!p->o->resume && !p->trial)
        die("%s is there already; --resume skips finished runs, or give another --out folder", path);
}

/* The result that is there already; NULL when there is none that can be used. */
static json_t *finished(const run_plan *p, const char *path) {
    char why[RESULT_WHY], says[RESULT_DIFFERENCE];
    json_t *result, *setup = NULL;
    result_status status = result_read(&result, path, why);
    if (status == RESULT_OK)
        refuse_finished(p, path);
    if (status == RESULT_UNREADABLE || status == RESULT_OTHER_SCHEMA)
        die("%s: %s", path, why);
    if (status == RESULT_DAMAGED || status == RESULT_FOREIGN)
        result_set_aside(path, why);
    if (status == RESULT_OK && !result_same(setup = describe_setup(p), result_at(result, "setup"), says))
        die("%s is of a run with other settings or data (%s); give them again, or another --out folder", path,
            says);
    json_decref(setup);
    return result;
}

/* Processes that make the same run, such as two seeds that both need the search, or one that outlived its
 * script, take turns. @return a descriptor of the lock file; -1: it was time to stop while another had it */
static int lock(const run_plan *p, const char *path) {
    struct stat held, there;
    for (int told = 0;;) {
        int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
        if (fd < 0)
            die("%s cannot be made (%s)", path, strerror(errno));
        while (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
            if (signalled || now() >= p->deadline) {
                close(fd);
                return -1;
            }
            if (!told++)
                fprintf(stderr, "%s: another process makes %s; waiting for it\n",
                        program_invocation_short_name, p->name);
            usleep(100000);
        }
        if (!fstat(fd, &held) && !stat(path, &there) && held.st_ino == there.st_ino)
            return fd;
        close(fd); /* the other one has removed the file meanwhile */
    }
}

static void refuse_unfinished(const run_plan *p, const char *checkpoint) {
    if (!p->o->resume && !p->trial && access(checkpoint, F_OK) == 0)
        die("%s is an unfinished run; --resume goes on with it, or give another folder", checkpoint);
}

static int is_there(const char *dir, const char *name, const char *ending) {
    char *path = join(dir, name, ending);
    int there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* Whether it goes on with a run that was begun here: a model that was saved is its own. */
static int goes_on(const run_plan *p) {
    return p->o->resume &&
           (is_there(p->folder, p->name, ".json") || is_there(p->o->checkpoint, p->name, ".checkpoint"));
}

/* Where the weights will go: what lies there is this run's, or there is nothing. */
static void check_save(const run_plan *p) {
    char weights[MODEL_FILE_NAME], *folder = join(p->o->save, saved_name(p), "");
    if (access(folder, F_OK) == 0)
        check_folder(folder);
    if (!goes_on(p) && (is_there(folder, "config", ".json") || is_there(folder, "vocab", ".txt") ||
                        holds_weights(folder, weights)))
        die("%s holds a model already; give another --save folder", folder);
    free(folder);
}

void run_check(const run_plan *p) {
    if (p->o->save)
        check_save(p);
    if (p->o->resume)
        return;
    if (p->folder && is_there(p->folder, p->name, ".json"))
        refuse_finished(p, join(p->folder, p->name, ".json"));
    if (p->o->checkpoint) {
        char *path = join(p->o->checkpoint, p->name, ".checkpoint");
        refuse_unfinished(p, path);
        free(path);
    }
    if (p->o->export && is_there(p->o->export, p->name, "/setup.json"))
        die("%s/%s is an export already; give another --export folder", p->o->export, p->name);
}

/* Whether a checkpoint is of this setup; folders of checkpoints may be shared. */
static int is_of(const char *checkpoint, const json_t *setup) {
    size_t bytes;
    char *user;
    json_t *said;
    peek(checkpoint, &user, &bytes, &said);
    int same = said && result_same(setup, result_at(said, "setup"), NULL);
    json_decref(said);
    free(user);
    return same;
}

/* What a finished run needs no more is removed, by whomever it was left. And a grid may have grown since: its
 * result names the search that leads to its rate now, or "highest tried" would be said of it for ever. */
static void settle(const run_plan *p, json_t *result, const char *path, const char *checkpoint) {
    if (p->searched && !result_same(p->searched, result_at(result, "learning_rate_search"), NULL)) {
        json_object_set(result, "learning_rate_search", p->searched);
        write_json(path, json_incref(result));
    }
    if (is_of(checkpoint, result_at(result, "setup")))
        remove(checkpoint);
}

/* The result of a run that nobody else makes at the time. */
static json_t *make_file(const run_plan *p, json_t *made, const char *path, const char *checkpoint) {
    json_t *result = finished(p, path); /* by whom we waited for */
    if (!result) {
        refuse_unfinished(p, checkpoint);
        result = made ? json_incref(made) : make_result(p, strcpy(need(strlen(checkpoint) + 1), checkpoint));
        if (result)
            write_json(path, json_incref(result));
    }
    if (result)
        settle(p, result, path, checkpoint);
    return result;
}

/* The file of a lock goes however the program ends, by a refusal too. */
static const char *held_lock;

static void remove_lock(void) {
    if (held_lock)
        remove(held_lock);
    held_lock = NULL;
}

static json_t *make_alone(const run_plan *p, json_t *made, const char *path) {
    static int asked;
    if (!asked++)
        atexit(remove_lock);
    char *folder = make_folder(p->o->checkpoint, p->trial ? "search" : ".");
    char *checkpoint = join(folder, p->name, ".checkpoint"), *locked = join(folder, p->name, ".lock");
    refuse_unfinished(p, checkpoint); /* here, too: no lock file is left behind */
    int fd = lock(p, locked);
    held_lock = fd < 0 ? NULL : locked;
    json_t *result = fd < 0 ? NULL : make_file(p, made, path, checkpoint);
    remove_lock();
    if (fd >= 0)
        close(fd);
    free(locked);
    free(checkpoint);
    free(folder);
    return result;
}

json_t *run_execute(const run_plan *p, json_t *made) {
    listen_to_signals();
    if (!p->folder)
        return made ? json_incref(made) : make_result(p, NULL);
    char *path = join(p->folder, p->name, ".json");
    json_t *there = finished(p, path); /* here, too: what is refused leaves no lock file behind */
    if (there && p->o->save && !p->trial)
        fprintf(stderr, "%s: %s was finished before; --save has no weights of it\n",
                program_invocation_short_name, p->name);
    json_decref(there);
    json_t *result = make_alone(p, made, path);
    free(path);
    return result;
}

/* ---- for other languages ---- */

static void export_data(const run_plan *p, const char *dir) {
    xlstm_tensor tensors[24];
    int count = p->t->tensors(p->t, tensors);
    int64_t B = p->t->batch, *rows = need((size_t)(p->steps * B) * sizeof *rows);
    unsigned char *anew = need((size_t)p->steps);
    float *rates = need((size_t)p->steps * sizeof *rates);
    xlstm_schedule schedule = schedule_of(p);
    for (int64_t step = 0; step < p->steps; step++) {
        anew[step] = (unsigned char)p->t->rows(p->t, p->seed, step, rows + step * B);
        rates[step] = xlstm_schedule_rate(&schedule, step);
    }
    tensors[count++] =
        (xlstm_tensor){.name = "rows", .dtype = XLSTM_I64, .ndim = 2, .shape = {p->steps, B}, .data = rows};
    tensors[count++] =
        (xlstm_tensor){.name = "anew", .dtype = XLSTM_U8, .ndim = 1, .shape = {p->steps}, .data = anew};
    tensors[count++] =
        (xlstm_tensor){.name = "rates", .dtype = XLSTM_F32, .ndim = 1, .shape = {p->steps}, .data = rates};
    char *path = join(dir, "data", ".safetensors");
    check(xlstm_tensors_write(path, tensors, count));
    free(path);
    free(rates);
    free(anew);
    free(rows);
}

static json_t *decayed_parameters(const xlstm_module *m) {
    json_t *names = json_array();
    xlstm_parameter p;
    for (int i = 0; i < xlstm_module_parameter_count(m); i++) {
        check(xlstm_module_parameter(m, i, &p));
        if (p.decay)
            json_array_append_new(names, json_string(p.name));
    }
    return names;
}

/* What an export's setup.json has beside the setup. */
static const char *const not_of_setup[] = {"learning_rate_search", "decayed_parameters", "command"};

/* Whether this run is exported already; what is there of another is not written over. */
static int is_exported(const char *path, json_t *setup) {
    char says[RESULT_DIFFERENCE];
    json_t *there = json_load_file(path, 0, NULL);
    int same = there != NULL;
    for (size_t i = 0; same && i < sizeof not_of_setup / sizeof *not_of_setup; i++)
        json_object_del(there, not_of_setup[i]);
    if (same && !result_same(setup, there, says))
        die("%s is of a run with other settings or data (%s); give another --export folder", path, says);
    json_decref(there);
    return same;
}

void run_export(const run_plan *p) {
    xlstm_module *m;
    char *dir = make_folder(p->o->export, p->name), *path = join(dir, "setup", ".json");
    json_t *setup = describe_setup(p);
    check(xlstm_model_create(&m, &p->row->config, p->seed));
    if (!is_exported(path, setup)) {
        check(xlstm_module_save(m, dir));
        export_data(p, dir);
    }
    json_object_set(setup, "learning_rate_search", p->searched); /* NULL: is left out */
    json_object_set_new(setup, "decayed_parameters", decayed_parameters(m));
    json_object_set_new(setup, "command", json_string(p->o->command));
    write_json(path, setup); /* last: what has it is whole */
    xlstm_module_free(m);
    free(path);
    free(dir);
}
