/* What a small file may cost: memory is taken for what files hold and not for what they say, numbers are read
 * once names and shapes belong, names are found in log n, and JSON is parsed where there is memory for it.
 * Costs are counted (bytes, pages), or held against those of a file of another size. */
#define _GNU_SOURCE
#include "support/folder.h"
#include "support/kinds.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static struct {
    long blocks;
    size_t now, most;
} heap;

static void *give(void *context, size_t bytes) {
    size_t *block = malloc(bytes + 16);
    (void)context;
    if (!block)
        return NULL;
    *block = bytes;
    heap.now += bytes;
    heap.most = heap.now > heap.most ? heap.now : heap.most;
    return (char *)block + 16;
}

static void take_back(void *context, void *given) {
    size_t *block = (size_t *)(void *)((char *)given - 16);
    (void)context;
    heap.now -= *block;
    free(block);
}

static void clean(void) {
    static const char *const names[] = {
        "config.json",         "model.safetensors",   "weights.safetensors",
        "model_0.safetensors", "model_1.safetensors", "a.json",
        "a.safetensors",       "tokenizer.json",      "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_dir(names[i]));
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "test_cost.%ld.tmp", (long)getpid());
    return mkdir(dir, 0777) || xlstm_set_allocator(give, take_back, NULL);
}

static int teardown(void **state) {
    (void)state;
    clean();
    return rmdir(dir) || heap.now;
}

static int each_setup(void **state) {
    (void)state;
    clean();
    return 0;
}

static FILE *begin(const char *name) {
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    return f;
}

static void put(const char *name, const char *text) {
    FILE *f = begin(name);
    assert_true(fputs(text, f) >= 0 && !fclose(f));
}

/* A file of tensors, of which only the header lies on the disk. */
static void put_sparse(const char *name, const char *header, off_t data) {
    FILE *f = begin(name);
    uint64_t length = strlen(header);
    assert_true(fwrite(&length, 8, 1, f) == 1 && fputs(header, f) >= 0 && !fflush(f));
    assert_int_equal(ftruncate(fileno(f), 8 + (off_t)length + data), 0);
    fclose(f);
}

/* ---- sizes that a configuration says ---- */

static xlstm_config large_config(xlstm_block_kind kind) {
    xlstm_config c;
    xlstm_config_init(&c, kind);
    c.num_blocks = XLSTM_MAX_BLOCKS;
    memset(c.block_kind, (int)kind, sizeof c.block_kind);
    c.embedding_dim = 1 << 16;
    c.num_heads = 1 << 4;
    c.vocab_size = 1 << 24;
    c.context_length = 1 << 24;
    return c;
}

static void refused(xlstm_weights weights, const char *because) {
    xlstm_module *m;
    heap.most = heap.now;
    size_t before = heap.now;
    assert_int_equal(xlstm_module_load_as(&m, dir, weights), XLSTM_E_FORMAT);
    assert_null(m);
    if (!strstr(xlstm_last_error(), because))
        fail_msg("\"%s\" lacks \"%s\"", xlstm_last_error(), because);
    if (heap.most - before > 8 << 20) /* the list of parameters of the most blocks that there can be */
        fail_msg("%zu bytes were taken: %s", heap.most - before, xlstm_last_error());
}

/* Terabytes, of which the files hold nothing; of every kind, in every type, and in every way to keep weights.
 */
static void test_config_larger_than_weights(void **state) {
    (void)state;
    static const char *const files[] = {"model.safetensors", "weights.safetensors", "model_0.safetensors",
                                        "a.safetensors"};
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++)
        for (int f = 0; f < 4; f++) {
            xlstm_config c = large_config((xlstm_block_kind)kind);
            clean();
            if (xlstm_config_save(&c, dir))
                fail_msg("%s", xlstm_last_error());
            put_sparse(files[f],
                       f < 3 ? "{}" : "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0);
            if (f == 3)
                put("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"a.safetensors\"}}");
            for (int w = 0; w < XLSTM_WEIGHTS_KINDS; w++)
                refused((xlstm_weights)w, "is missing");
        }
}

/* The weights without what the library notes in them, as others write them. */
static void forget_origin(const char *name) {
    xlstm_tensor all[64];
    xlstm_tensors *t;
    assert_int_equal(xlstm_tensors_open(&t, in_dir(name)), XLSTM_OK);
    int count = xlstm_tensors_count(t);
    assert_in_range(count, 1, 64);
    for (int i = 0; i < count; i++)
        assert_int_equal(xlstm_tensors_get(t, i, &all[i]), XLSTM_OK);
    assert_int_equal(xlstm_tensors_write(in_dir(name), all, count), XLSTM_OK);
    xlstm_tensors_close(t);
}

/* The same of a model that has all tensors but one, and of one of which a single shape is another. */
static void test_nearly_whole(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    clean();
    assert_int_equal(xlstm_module_save_weights(m, in_dir("model.safetensors")), XLSTM_OK);
    xlstm_module_free(m);
    forget_origin("model.safetensors");
    c.vocab_size = 1 << 24;
    assert_int_equal(xlstm_config_save(&c, dir), XLSTM_OK);
    for (int w = 0; w < XLSTM_WEIGHTS_KINDS; w++)
        refused((xlstm_weights)w, "has shape");
}

/* ---- numbers that a file says it has ---- */

static long faults(void) {
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return used.ru_minflt + used.ru_majflt;
}

/* Reading a quarter of a GiB would be 4096 faults and more, as one of them brings 16 pages. */
static void unread(const char *because) {
    for (int w = 0; w < XLSTM_WEIGHTS_KINDS; w++) {
        long before = faults();
        refused((xlstm_weights)w, because);
        if (faults() - before > 1500)
            fail_msg("%ld pages were looked at: %s", faults() - before, xlstm_last_error());
    }
}

static void test_sparse_model(void **state) {
    (void)state;
    static const char hf[] =
        "{\"model_type\": \"xlstm\", \"hidden_size\": 64, \"num_heads\": 4, \"num_hidden_layers\": 1, "
        "\"vocab_size\": 256, \"tie_word_embeddings\": true}";
    const off_t half = 1 << 28;
    char header[400];
    put("config.json", hf);
    snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"U8\",\"shape\":[%lld],\"data_offsets\":[0,%lld]}}",
             (long long)half, (long long)half);
    put_sparse("model.safetensors", header, half);
    unread("not one of this model's parameters");
    snprintf(header, sizeof header,
             "{\"backbone.embeddings.weight\":{\"dtype\":\"U8\",\"shape\":[%lld],\"data_offsets\":[0,%lld]},"
             "\"lm_head.weight\":{\"dtype\":\"U8\",\"shape\":[%lld],\"data_offsets\":[%lld,%lld]}}",
             (long long)half, (long long)half, (long long)half, (long long)half, 2 * (long long)half);
    put_sparse("model.safetensors", header, 2 * half);
    unread("has shape");
}

/* ---- names ---- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* An index of n tensors that are all in one file, and none of a model; or of one file each name twice. */
static void put_index(int n) {
    size_t room = 80 * (size_t)n + 16, at = 1;
    char *header = malloc(room);
    FILE *f = begin("model.safetensors.index.json");
    assert_non_null(header);
    strcpy(header, "{");
    fputs("{\"weight_map\":{", f);
    for (int i = 0; i < n; i++) {
        fprintf(f, "%s\"%x\":\"a.safetensors\"", i ? "," : "", i);
        at += (size_t)snprintf(header + at, room - at,
                               "%s\"%x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                               i ? "," : "", i);
    }
    fputs("}}", f);
    fclose(f);
    strcpy(header + at, "}");
    put_sparse("a.safetensors", header, 0);
    free(header);
}

static void load_index(void) {
    xlstm_module *m;
    assert_int_equal(xlstm_module_load(&m, dir), XLSTM_E_FORMAT);
    assert_non_null(strstr(xlstm_last_error(), "is missing"));
}

static void find_all(void) {
    xlstm_tensors *file;
    xlstm_tensor t, same;
    assert_int_equal(xlstm_tensors_open(&file, in_dir("a.safetensors")), XLSTM_OK);
    for (int i = 0; i < xlstm_tensors_count(file); i++) {
        assert_int_equal(xlstm_tensors_get(file, i, &t), XLSTM_OK);
        assert_int_equal(xlstm_tensors_find(file, t.name, &same), XLSTM_OK);
        assert_ptr_equal(t.name, same.name);
    }
    assert_int_equal(xlstm_tensors_find(file, "g", &t), XLSTM_E_NOT_FOUND);
    xlstm_tensors_close(file);
}

/* One name of n dots, at each of which a prefix could end. */
static void put_dots(int n) {
    char *header = malloc((size_t)n + 80);
    assert_non_null(header);
    int at = sprintf(header, "{\"");
    memset(header + at, '.', (size_t)n);
    strcpy(header + at + n, "x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    put_sparse("model.safetensors", header, 0);
    free(header);
}

static double least(void (*what)(void)) {
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double before = seconds();
        what();
        double took = seconds() - before;
        best = took < best ? took : best;
    }
    return best;
}

/* Four times as many: four times the time and a little more; 16 times where each name is looked for among
 * all. */
static void test_names(void **state) {
    (void)state;
    put("config.json", "{\"embedding_dim\": 64, \"num_heads\": 4, \"num_blocks\": 1, \"vocab_size\": 100}");
    put_dots(1 << 18);
    double one_name = least(load_index);
    put_dots(1 << 20);
    double longer_name = least(load_index);
    print_message("%g s, %g s\n", one_name, longer_name);
    assert_true(longer_name < 11 * one_name);
    unlink(in_dir("model.safetensors"));
    void (*const what[])(void) = {load_index, find_all};
    for (int i = 0; i < 2; i++) {
        put_index(8000);
        double once = least(what[i]);
        put_index(32000);
        double four_times = least(what[i]);
        print_message("%g s, %g s\n", once, four_times);
        assert_true(four_times < 11 * once);
    }
}

/* ---- JSON ---- */

static void repeat(FILE *f, const char *what, int n) {
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%s", i ? "," : "", what);
}

/* Little text with many values: refused by their number, or, where that is what such a file can hold, read in
 * memory that is in proportion to it. */
static void test_values_are_counted(void **state) {
    (void)state;
    static const char *const parts[] = {"{}", "[]", "[[],{}]", "{\"\":{}}"};
    xlstm_config c;
    for (int i = 0; i < 4; i++) {
        FILE *f = begin("a.json");
        fputs("{\"a\":[", f);
        repeat(f, parts[i], 800000 / (int)(strlen(parts[i]) + 1));
        fputs("]}", f);
        fclose(f);
        assert_int_equal(xlstm_config_load(in_dir("a.json"), &c), XLSTM_E_FORMAT);
        assert_non_null(strstr(xlstm_last_error(), "hardly more than brackets"));
    }
    FILE *f = begin("a.json");
    for (int i = 0; i < 1 << 20; i++)
        putc(' ', f);
    fputs("{}", f);
    fclose(f);
    assert_int_equal(xlstm_config_load(in_dir("a.json"), &c), XLSTM_E_FORMAT);
    assert_non_null(strstr(xlstm_last_error(), "a configuration has at most 1048576"));
}

static xlstm_status open_tensors(void) {
    xlstm_tensors *file;
    xlstm_status status = xlstm_tensors_open(&file, in_dir("a.safetensors"));
    xlstm_tensors_close(file);
    return status;
}

static xlstm_status load_config(void) {
    xlstm_config c;
    return xlstm_config_load(in_dir("a.json"), &c);
}

static xlstm_status load_tokenizer(void) {
    xlstm_tokenizer *t;
    xlstm_status status = xlstm_tokenizer_load(&t, in_dir("tokenizer.json"));
    xlstm_tokenizer_free(t);
    return status;
}

static xlstm_status load_model(void) {
    xlstm_module *m;
    xlstm_status status = xlstm_module_load(&m, XLSTM_TEST_DATA "/hf_small");
    xlstm_module_free(m);
    return status;
}

static xlstm_status take_much(void) {
    void *volatile much = malloc(1 << 28);
    int refused_it = !much;
    free(much);
    return refused_it ? XLSTM_E_MEMORY : XLSTM_OK;
}

/* In a process that may have `more` bytes of addresses beyond what it has. Exits with what came of it. */
static void with_little_memory(xlstm_status (*what)(void), size_t more) {
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages;
#ifdef __GLIBC__
    malloc_trim(0); /* what was freed before would do for much */
#endif
    if (!f || fscanf(f, "%lu", &pages) != 1)
        _exit(100);
    fclose(f);
    const struct rlimit limit = {pages * (size_t)sysconf(_SC_PAGESIZE) + more, RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit))
        _exit(101);
    xlstm_status status = what();
    if (status == XLSTM_E_MEMORY && what != take_much && !strstr(xlstm_last_error(), "memory"))
        _exit(102);
    _exit(-status);
}

static int outcome(xlstm_status (*what)(void), size_t more) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        with_little_memory(what, more);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* At every limit: want of memory, or what it is without one; both are seen. */
static void sweep(const char *name, xlstm_status (*what)(void), size_t step) {
    int wanted = -(int)what(), least_memory = 0, refusals = 0, after = 0;
    for (int limit = 0; limit < 1000 && after < 20; limit++) {
        int got = outcome(what, (size_t)limit * step);
        if (got != wanted && got != -XLSTM_E_MEMORY)
            fail_msg("%s with %.1f MB: ended with %d, without a limit with %d", name,
                     1e-6 * (double)step * limit, got, wanted);
        refusals += got != wanted;
        after += got == wanted;
        least_memory = got == wanted && !least_memory ? limit : least_memory;
    }
    print_message("%s: %d limits too small, enough with %.1f MB\n", name, refusals,
                  1e-6 * (double)step * least_memory);
    assert_true(refusals > 0 && after == 20);
}

static void test_address_space(void **state) {
    (void)state;
    if (outcome(take_much, 0) != -XLSTM_E_MEMORY) {
        print_message("addresses cannot be limited here\n");
        skip(); /* by an emulator, or under a sanitizer, which takes terabytes of them for itself */
    }
    assert_int_equal(xlstm_set_allocator(NULL, NULL, NULL), XLSTM_OK); /* whose address space it is */
    sweep("model", load_model, 100000);
    put_index(30000);
    sweep("tensors", open_tensors, 1000000);
    FILE *f = begin("a.json");
    fputs("{\"num_heads\":1,\"embedding_dim\":1,\"a\":[", f);
    repeat(f, "1", 200000);
    fputs("],\"b\":", f);
    for (int i = 0; i < 500000; i++)
        putc('1', f);
    fputs(".5}", f);
    fclose(f);
    sweep("configuration with a long number", load_config, 250000);
    f = begin("tokenizer.json");
    fputs("{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{", f);
    for (int i = 0; i < 100000; i++)
        fprintf(f, "%s\"%x\":%d", i ? "," : "", i, i);
    fputs("}},\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"decoder\":{\"type\":\"ByteLevel\"}}", f);
    fclose(f);
    sweep("tokenizer", load_tokenizer, 1000000);
    assert_int_equal(xlstm_set_allocator(give, take_back, NULL), XLSTM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_config_larger_than_weights, each_setup),
        cmocka_unit_test_setup(test_nearly_whole, each_setup),
        cmocka_unit_test_setup(test_sparse_model, each_setup),
        cmocka_unit_test_setup(test_names, each_setup),
        cmocka_unit_test_setup(test_values_are_counted, each_setup),
        cmocka_unit_test_setup(test_address_space, each_setup),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
