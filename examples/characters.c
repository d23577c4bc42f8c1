/* characters: a model that learns to spell, is interrupted, goes on, and then writes.
 *
 *     characters DIR [SECONDS]
 *
 * New here: xlstm_checkpoint_save() and xlstm_checkpoint_load(): stop it at any moment (Ctrl-C, kill -9) and
 * start it again with the same DIR: it goes on where the last checkpoint was, bit for bit. Also truncated
 * back-propagation (carry_state: the state goes on from window to window), bytes of your own in a checkpoint,
 * and xlstm_generate() with a sampler. The text is made up: numbers in words, one after the other. */
#include "programs/program.h"
#include <sys/stat.h>

enum { BATCH = 16, TIME = 32, STEPS = 400, EVERY = 50, CHARACTERS = 128 };

static const char *const ones[] = {"",        "one",     "two",       "three",    "four",
                                   "five",    "six",     "seven",     "eight",    "nine",
                                   "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                   "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
static const char *const tens[] = {"",      "",      "twenty",  "thirty", "forty",
                                   "fifty", "sixty", "seventy", "eighty", "ninety"};

/* "four hundred twenty-seven, " for 1 to 999 */
static int spell(char *text, int n) {
    int rest = n % 100, two = rest >= 20;
    return sprintf(text, "%s%s%s%s%s, ", ones[n / 100], n >= 100 ? rest ? " hundred " : " hundred" : "",
                   two ? tens[rest / 10] : ones[rest], two && rest % 10 ? "-" : "",
                   two ? ones[rest % 10] : "");
}

/* Everything that the run is; `at` is where each stream reads, and goes into the checkpoint. */
typedef struct {
    char text[40000];
    int length;
    int32_t at[BATCH];
    xlstm_module *model;
    xlstm_trainer *trainer;
    xlstm_optimizer *optimizer;
} run;

static void prepare(run *r) {
    xlstm_config config;
    xlstm_trainer_config how;
    xlstm_optimizer_config adamw;
    for (int n = 1; n < 1000; n++)
        r->length += spell(r->text + r->length, n);
    for (int b = 0; b < BATCH; b++)
        r->at[b] = b * (r->length / BATCH);
    xlstm_config_init(&config, XLSTM_MLSTM);
    config.vocab_size = CHARACTERS;
    config.embedding_dim = 48;
    config.num_heads = 2;
    config.num_blocks = 2;
    check(xlstm_config_mix(&config, "1:1"));
    check(xlstm_model_create(&r->model, &config, 1));
    xlstm_trainer_config_init(&how);
    how.batch = BATCH;
    how.time = TIME;
    how.carry_state = 1;
    check(xlstm_trainer_create(&r->trainer, r->model, &how));
    xlstm_optimizer_config_init(&adamw, XLSTM_ADAMW);
    check(xlstm_optimizer_create(&r->optimizer, r->model, &adamw));
}

static double update(run *r, int step) {
    int32_t tokens[BATCH * TIME], targets[BATCH * TIME];
    xlstm_schedule schedule = {XLSTM_WARMUP_COSINE, 8e-3f, 0.05f, STEPS / 20, STEPS};
    xlstm_loss loss;
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t < TIME; t++) {
            tokens[b * TIME + t] = (unsigned char)r->text[r->at[b]];
            r->at[b] = (r->at[b] + 1) % r->length;
            targets[b * TIME + t] = (unsigned char)r->text[r->at[b]];
        }
    xlstm_batch batch = {.struct_size = sizeof batch, .tokens = tokens, .targets = targets};
    check(xlstm_trainer_backward(r->trainer, &batch, &loss));
    check(xlstm_optimizer_step(r->optimizer, r->trainer, xlstm_schedule_rate(&schedule, step), NULL));
    return loss.mean;
}

/* The number of updates made, from the checkpoint if there is one. A damaged one is an error, not a new
 * beginning. */
static int go_on(run *r, const char *path) {
    xlstm_status status = xlstm_checkpoint_load(path, r->trainer, r->optimizer, r->at, sizeof r->at);
    if (status == XLSTM_E_NOT_FOUND)
        return 0;
    check(status);
    printf("going on after update %d\n", (int)xlstm_optimizer_steps(r->optimizer));
    return (int)xlstm_optimizer_steps(r->optimizer);
}

static int is_number_word(const char *word, size_t length) {
    if (length == 7 && !strncmp(word, "hundred", 7))
        return 1;
    for (int i = 0; i < 20; i++)
        if ((strlen(ones[i]) == length && !strncmp(word, ones[i], length)) ||
            (i < 10 && strlen(tens[i]) == length && !strncmp(word, tens[i], length)))
            return 1;
    return 0;
}

static int print_character(void *user, int32_t token) {
    (void)user;
    putchar(token);
    return 0;
}

/* Writes 300 characters; returns the share of its words that are words. */
static double write_text(const run *r) {
    enum { LENGTH = 300 };
    static const char start[] = "five hundred ninety-eight, five hundred ninety-nine, ";
    int32_t prompt[sizeof start - 1], made[LENGTH];
    char text[LENGTH + 1] = {0};
    xlstm_session *session;
    xlstm_sampler *sampler;
    xlstm_sampling how;
    for (size_t i = 0; i < sizeof start - 1; i++)
        prompt[i] = (unsigned char)start[i];
    xlstm_sampling_init(&how);
    how.temperature = 0.6f;
    check(xlstm_session_create(&session, r->model, 1, 0));
    check(xlstm_sampler_create(&sampler, &how, CHARACTERS));
    xlstm_generation what = {.struct_size = sizeof what,
                             .prompt = prompt,
                             .prompt_tokens = (int)(sizeof start - 1),
                             .max_tokens = LENGTH,
                             .callback = print_character,
                             .tokens = made};
    printf("%s| ", start);
    check(xlstm_generate(session, sampler, &what, NULL));
    printf("\n");
    xlstm_sampler_free(sampler);
    xlstm_session_free(session);
    for (int i = 0; i < LENGTH; i++)
        text[i] = (char)made[i];
    text[LENGTH - 20] = 0; /* the last word is hardly a whole one */
    int words = 0, good = 0;
    for (char *word = text + strspn(text, " ,-"); *word; words++) {
        size_t length = strcspn(word, " ,-");
        good += is_number_word(word, length);
        word += length + strspn(word + length, " ,-");
    }
    return words ? (double)good / words : 0;
}

int main(int argc, char **argv) {
    program_begin();
    static run r;
    char path[4096];
    if (argc < 2 || argc > 3 || argv[1][0] == '-')
        die("give a folder for the checkpoint, and, if you like, after how many seconds to stop");
    if (mkdir(argv[1], 0777) && errno != EEXIST)
        die("%s: %s; give a folder that can be made", argv[1], strerror(errno));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", argv[1]);
    double end = now() + (argc > 2 ? number_option("seconds", argv[2], 0, 1e9) : 1e9);
    prepare(&r);
    int step = go_on(&r, path);
    while (step < STEPS && now() < end) {
        double loss = update(&r, step++);
        int last = step == STEPS || now() >= end;
        if (last || step % EVERY == 0) {
            printf("update %d: %.4f nats per character\n", step, loss);
            check(xlstm_checkpoint_save(path, r.trainer, r.optimizer, r.at, sizeof r.at));
        }
    }
    if (step < STEPS)
        printf("stopped after update %d, for now: start it again to go on\n", step);
    double words = write_text(&r);
    printf("%.0f %% of these words are words\n", 100 * words);
    xlstm_optimizer_free(r.optimizer);
    xlstm_trainer_free(r.trainer);
    xlstm_module_free(r.model);
    return step < STEPS || words > 0.8 ? 0 : 1;
}
