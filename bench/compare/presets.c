/* presets.c - the sizes of each comparison, a row for each: a run is one of these and what options change of
 * it. */
#include "bench.h"

/* Learning rates to choose from: the same for every model, or one for each of xlstm, lstm, lstm-res,
 * transformer. */
#define EVERY_MODEL(...) [0] = {__VA_ARGS__}, [1] = {__VA_ARGS__}, [2] = {__VA_ARGS__}, [3] = {__VA_ARGS__}
#define EACH_MODEL(a, b, c, d) [0] = {a}, [1] = {b}, [2] = {c}, [3] = {d}

static const preset presets[] = {
    {"lm", "smoke", .width = 64, .blocks = 2, .heads = 4, .steps = 20, .search_steps = 8, .batch = 4,
     .window = 16, .evaluations = 2, .valid_size = 400, .test_size = 800, .weight_decay = 0.1f,
     .grids = {EVERY_MODEL(3e-3f)}},
    {"lm", "quick", .width = 128, .blocks = 2, .heads = 4, .steps = 600, .search_steps = 200, .batch = 20,
     .window = 64, .evaluations = 2, .valid_size = 20000, .weight_decay = 0.1f,
     .grids = {EVERY_MODEL(4e-3f)}},
    /* The search is of whole runs: short ones favour rates that whole ones lose by. */
    {"lm", "full", .width = 256, .blocks = 4, .heads = 4, .steps = 1600, .search_steps = 1600,
     .search_valid_size = 30000, .batch = 80, .window = 64, .evaluations = 5, .weight_decay = 0.2f,
     .dropout = 0.15f, .embedding_dropout = 1,
     .grids = {EVERY_MODEL(5e-4f, 1e-3f, 2e-3f, 4e-3f, 8e-3f, 1.6e-2f, 3.2e-2f)}},
    {"lm", "thesis", .width = 512, .blocks = 6, .heads = 8, .steps = 3300, .search_steps = 300, .batch = 64,
     .window = 96, .evaluations = 10, .weight_decay = 0.1f, .dropout = 0.1f, .grids = {EVERY_MODEL(1e-3f)}},
    {"nns", "smoke", .width = 64, .blocks = 2, .heads = 4, .steps = 30, .search_steps = 10, .batch = 16,
     .evaluations = 2, .train_size = 64, .valid_size = 64, .test_size = 64, .weight_decay = 0.01f,
     .grids = {EVERY_MODEL(3e-3f)}},
    {"nns", "quick", .width = 64, .blocks = 2, .heads = 4, .steps = 1200, .search_steps = 300, .batch = 64,
     .evaluations = 4, .train_size = 4096, .valid_size = 4096, .test_size = 4096, .weight_decay = 0.01f,
     .grids = {EACH_MODEL(4e-3f, 4e-3f, 4e-3f, 2e-3f)}},
    /* Wider ones learn the training sequences by heart. */
    {"nns", "full", .width = 32, .blocks = 2, .heads = 4, .recurrent_start = 1, .steps = 20000,
     .search_steps = 1500, .search_valid_size = 2048, .batch = 32, .evaluations = 10, .train_size = 8192,
     .valid_size = 8192, .test_size = 8192, .weight_decay = 0.1f,
     .grids = {EVERY_MODEL(1e-4f, 1e-3f, 3e-3f, 1e-2f, 3e-2f)}},
    {"nns", "thesis", .width = 128, .blocks = 2, .heads = 4, .steps = 4000, .search_steps = 1000, .batch = 64,
     .evaluations = 10, .train_size = 8192, .valid_size = 8192, .test_size = 8192, .weight_decay = 0.01f,
     .dropout = 0.1f, .grids = {EVERY_MODEL(1e-3f)}},
    /* One head: whoever follows a state must mix all of it, and heads do not see each other. From a recurrent
     * matrix of zeros the sLSTM learns lengths one by one in place of the rule. */
    {"parity", "smoke", .width = 48, .blocks = 2, .heads = 1, .recurrent_start = 1, .steps = 20,
     .search_steps = 10, .batch = 16, .evaluations = 2, .train_size = 64, .valid_size = 64, .test_size = 32,
     .grids = {EVERY_MODEL(3e-3f)}},
    {"parity", "quick", .width = 48, .blocks = 2, .heads = 1, .recurrent_start = 1, .steps = 1500,
     .search_steps = 400, .batch = 32, .evaluations = 5, .train_size = 16384, .valid_size = 1024,
     .test_size = 1024, .weight_decay = 0.01f, .grids = {EACH_MODEL(1e-2f, 1e-2f, 1e-2f, 2e-3f)}},
    {"parity", "full", .width = 48, .blocks = 2, .heads = 1, .recurrent_start = 1, .steps = 4000,
     .search_steps = 1200, .batch = 32, .evaluations = 10, .train_size = 32768, .valid_size = 2048,
     .test_size = 2048, .weight_decay = 0.01f,
     .grids = {EVERY_MODEL(6e-5f, 2.5e-4f, 1e-3f, 4e-3f, 1e-2f, 3e-2f)}},
    {"mqar", "smoke", .width = 32, .blocks = 2, .heads = 2, .steps = 20, .search_steps = 10, .batch = 16,
     .evaluations = 2, .train_size = 64, .valid_size = 64, .test_size = 32, .grids = {EVERY_MODEL(3e-3f)}},
    {"mqar", "quick", .width = 64, .blocks = 2, .heads = 2, .steps = 800, .search_steps = 200, .batch = 64,
     .evaluations = 5, .train_size = 32768, .valid_size = 1024, .test_size = 1024, .weight_decay = 0.01f,
     .grids = {EACH_MODEL(4e-3f, 4e-3f, 4e-3f, 2e-3f)}},
    {"mqar", "full", .width = 64, .blocks = 2, .heads = 2, .steps = 4000, .search_steps = 400, .batch = 64,
     .evaluations = 10, .train_size = 65536, .valid_size = 2048, .test_size = 2048, .weight_decay = 0.01f,
     .grids = {EVERY_MODEL(2.5e-4f, 1e-3f, 4e-3f, 1e-2f, 3e-2f)}},
};

const char *const preset_choices[] = {"smoke", "quick", "full", "thesis", NULL};

const preset *preset_find(const char *task, const char *name) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].task, task) && !strcmp(presets[i].name, name))
            return &presets[i];
    die("preset \"%s\" has no such task; use smoke, quick or full", name);
}
