/* A checkpoint that is a few KiB on the disk and says that it is a quarter of a GiB: its names and shapes are
 * looked at before its numbers, so none of that is read. What was looked at is counted in pages. */
#include "base/mem.h"
#include "file/safetensors.h"
#include "support/training_run.h"
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

enum { MOST = 200, MUCH = 1 << 28 };
static char path[64];
static const char mine[] = "bytes of my own";

static int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "test_sparse.%ld.tmp", (long)getpid());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

/* The checkpoint with its tensor `name`, or one more, of a quarter of a GiB of nothing; with sums that are
 * right. */
static void swell(const char *name) {
    xlstm_tensors *file;
    xlstm_tensor t[MOST];
    uint32_t crc = 0;
    char *head, key[160];
    size_t bytes, same;
    int count = 0;
    assert_int_equal(xlstm_tensors_open(&file, path), XLSTM_OK);
    assert_true(xlstm_tensors_count(file) < MOST);
    for (int i = 0; i < xlstm_tensors_count(file); i++) {
        assert_int_equal(xlstm_tensors_get(file, i, &t[count]), XLSTM_OK);
        if (!strcmp(t[count].name, "header.crc32"))
            t[count].data = &crc;
        count += strcmp(t[count].name, name) != 0;
    }
    t[count] = (xlstm_tensor){
        .name = name, .dtype = XLSTM_U8, .ndim = 1, .shape = {MUCH}, .count = MUCH, .data = mine};
    json_t *about = json_deep_copy(xl_tensors_metadata(file));
    snprintf(key, sizeof key, "crc32.%s", name);
    json_object_set_new(about, key, json_string("d1a5bb1c"));
    assert_int_equal(xl_tensors_head(&head, &bytes, t, count + 1, about), XLSTM_OK);
    crc = (uint32_t)crc32_z(0, (const unsigned char *)head, bytes);
    FILE *f = fopen(path, "r+b"); /* what is mapped stays, as the data are copied first */
    char *data = malloc(1 << 20);
    same = 0;
    for (int i = 0; i < count; i++) { /* wide numbers first, as they were: the new one is the last */
        size_t n = t[i].count * xlstm_dtype_size(t[i].dtype);
        assert_true(f && data && same + n <= 1 << 20);
        memcpy(data + same, t[i].data, n);
        same += n;
    }
    assert_true(fwrite(head, 1, bytes, f) == bytes && fwrite(data, 1, same, f) == same && !fflush(f));
    assert_int_equal(ftruncate(fileno(f), (off_t)(bytes + same) + MUCH), 0);
    fclose(f);
    free(data);
    json_decref(about);
    xl_free(head);
    xlstm_tensors_close(file);
}

static long faults(void) {
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return used.ru_minflt + used.ru_majflt;
}

/* Reading it all would be 4096 faults and more, as one of them brings 16 pages. */
static void unread(training_run *r, void *own, xlstm_status wanted, const char *because) {
    long before = faults();
    xlstm_status got = xlstm_checkpoint_load(path, r->tr, r->opt, own, own ? sizeof mine : 0);
    before = faults() - before;
    if (got != wanted || (because && !strstr(xlstm_last_error(), because)))
        fail_msg("expected %d with \"%s\", got %d \"%s\"", wanted, because, got, xlstm_last_error());
    if (before > 1500)
        fail_msg("%ld pages were looked at: %s", before, xlstm_last_error());
}

static void test_foreign(void **state) {
    (void)state;
    static const char *const names[] = {"x", "weights.more", "gradients.more", "first.", "state.more"};
    training_run r;
    char own[sizeof mine];
    run_open(&r, 0, XLSTM_ADAMW, 7);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(path);
        assert_int_equal(xlstm_checkpoint_save(path, r.tr, r.opt, mine, sizeof mine), XLSTM_OK);
        swell(names[i]);
        unread(&r, own, XLSTM_E_CONFIG,
               i == 1 ? "the number of parameters" : "U8 [268435456] there and missing here");
    }
    run_close(&r);
}

/* Moments that are not wanted belong to the run only in its own shape. */
static void test_moments(void **state) {
    (void)state;
    training_run r, no_optimizer;
    run_open(&r, TEST_KINDS - 2, XLSTM_ADAMW, 7);
    unlink(path);
    assert_int_equal(xlstm_checkpoint_save(path, r.tr, r.opt, mine, sizeof mine), XLSTM_OK);
    swell("second.token_embedding.weight");
    no_optimizer = r;
    unread(&r, NULL, XLSTM_E_CONFIG, "second.token_embedding.weight is U8 [268435456] there and F32");
    no_optimizer.opt = NULL;
    unread(&no_optimizer, NULL, XLSTM_E_CONFIG,
           "second.token_embedding.weight is U8 [268435456] there and missing here");
    run_close(&r);
}

/* The user's bytes are as many as the user says; where they are not wanted, they are not looked at. */
static void test_user(void **state) {
    (void)state;
    training_run r;
    char own[sizeof mine] = "";
    run_open(&r, 0, XLSTM_ADAMW, 7);
    unlink(path);
    assert_int_equal(xlstm_checkpoint_save(path, r.tr, r.opt, mine, sizeof mine), XLSTM_OK);
    swell("user");
    unread(&r, own, XLSTM_E_CONFIG, "268435456 bytes of the user's own");
    assert_true(!own[0]);
    unread(&r, NULL, XLSTM_OK, NULL);
    run_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_user),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
