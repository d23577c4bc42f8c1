/* test_device.c - devices by name, what is said where one cannot be used, and copies of models; on a machine
 * with a card (XLSTM_TEST_DEVICE=cuda:0) also that training there gives the host's losses, for every kind,
 * and the same bits twice. */
#include "model/module.h"
#include "programs/compare.h"
#include "support/training_run.h"
#include "xlstm.h"
#include <math.h>

enum { STEPS = 50 };
/* Ten times as large a one makes some of these small models part from themselves: two kernels of the host,
 * too. */
static const float RATE = 1e-3f;

static const char *tested(void) {
    return getenv("XLSTM_TEST_DEVICE");
}

static void assert_refused(const char *name, xlstm_status status, const char *text) {
    assert_int_equal(xlstm_set_device(name), status);
    if (!strstr(xlstm_last_error(), text))
        fail_msg("device \"%s\": \"%s\" does not say \"%s\"", name, xlstm_last_error(), text);
}

static void test_names(void **state) {
    static const char *const unknown[] = {"gpu",    "",        "CUDA",       "cuda:", "cuda:-1",
                                          "cuda:x", "cuda:0x", "cuda:12345", "cudas"};
    xlstm_module *m;
    char name[64];
    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_refused(unknown[i], XLSTM_E_ARGUMENT, "use cpu, cuda, cuda:N");
    assert_refused("cuda:63", XLSTM_E_DEVICE, "cuda:63"); /* no library, no driver, or no such device */
    assert_int_equal(xlstm_set_device("cpu"), XLSTM_OK);
    assert_int_equal(create_kind(&m, 0, name, 1), XLSTM_OK); /* what was refused has changed nothing */
    assert_true(m->memory->is_host);
    xlstm_module_free(m);
    assert_int_equal(xlstm_set_device("auto"), XLSTM_OK); /* wherever this is */
    assert_int_equal(xlstm_set_device(NULL), XLSTM_OK);
}

/* A thread that has set none asks the environment. */
static void test_environment(void **state) {
    xlstm_config c = small_config(XLSTM_SLSTM);
    xlstm_module *m = (void *)&c;
    (void)state;
    setenv("XLSTM_DEVICE", "gpu", 1);
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_E_ARGUMENT);
    assert_null(m);
    assert_int_equal(xlstm_set_device("cpu"), XLSTM_OK); /* which counts for more */
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    xlstm_module_free(m);
    assert_int_equal(xlstm_set_device(NULL), XLSTM_OK);
    unsetenv("XLSTM_DEVICE");
}

static void assert_same_weights(const xlstm_module *a, const xlstm_module *b) {
    static xlstm_real of_a[4096], of_b[4096];
    for (int i = 0; i < xlstm_module_parameter_count(a); i++) {
        xlstm_parameter p;
        assert_int_equal(xlstm_module_parameter(a, i, &p), XLSTM_OK);
        assert_true(p.count <= 4096);
        assert_int_equal(xlstm_module_read(a, i, of_a), XLSTM_OK);
        assert_int_equal(xlstm_module_read(b, i, of_b), XLSTM_OK);
        assert_memory_equal(of_a, of_b, p.count * sizeof *of_a);
    }
}

static void copies_of(const xlstm_module *m, const char *device) {
    xlstm_module *there, *back;
    assert_int_equal(xlstm_module_copy(&there, m, device), XLSTM_OK);
    assert_int_equal(xlstm_module_copy(&back, there, "cpu"), XLSTM_OK);
    assert_same_weights(m, there);
    assert_same_weights(m, back);
    xlstm_module_free(there), xlstm_module_free(back);
}

static void test_copies(void **state) {
    xlstm_config c = small_config(XLSTM_MLSTM);
    xlstm_module *m, *out = (void *)&c;
    (void)state;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    assert_int_equal(xlstm_module_copy(&out, NULL, NULL), XLSTM_E_ARGUMENT);
    assert_null(out);
    assert_int_equal(xlstm_module_copy(NULL, m, NULL), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_module_copy(&out, m, "gpu"), XLSTM_E_ARGUMENT);
    assert_null(out);
    copies_of(m, NULL);
    copies_of(m, tested());
    for (int w = XLSTM_WEIGHTS_BF16; w < XLSTM_WEIGHTS_KINDS; w++) {
        assert_int_equal(xlstm_module_quantize(&out, m, (xlstm_weights)w), XLSTM_OK);
        copies_of(out, tested());
        xlstm_module_free(out);
    }
    xlstm_module_free(m);
    char name[64];
    assert_int_equal(create_kind(&m, 0, name, 1), XLSTM_OK); /* a block */
    assert_int_equal(xlstm_module_copy(&out, m, NULL), XLSTM_E_ARGUMENT);
    xlstm_module_free(m);
}

static void losses_on(const char *device, int kind, double losses[STEPS], char name[64]) {
    training_run r;
    assert_int_equal(xlstm_set_device(device), XLSTM_OK);
    run_open(&r, kind, XLSTM_ADAMW, 3);
    for (int s = 0; s < STEPS; s++) {
        losses[s] = run_backward(&r, s);
        assert_int_equal(xlstm_optimizer_step(r.opt, r.tr, RATE, NULL), XLSTM_OK);
    }
    strcpy(name, r.name);
    run_close(&r);
    assert_int_equal(xlstm_set_device(NULL), XLSTM_OK);
}

static void test_training(void **state) {
    double here[STEPS], there[STEPS], again[STEPS];
    comparison c = {0};
    char name[64];
    (void)state;
    if (!tested()) {
        print_message("training on a device is not tested: XLSTM_TEST_DEVICE names none\n");
        skip();
    }
    for (int kind = 0; kind < TEST_KINDS; kind++) {
        losses_on("cpu", kind, here, name);
        losses_on(tested(), kind, there, name);
        losses_on(tested(), kind, again, name);
        for (int s = 0; s < STEPS; s++)
            see_in(&c, there[s], here[s], fmax(1, fabs(here[s])));
        if (!agrees(&c, 1e-4))
            fail_msg("%s, losses on %s: " APART, name, tested(), APART_OF(c));
        if (!same_numbers(there, again, STEPS))
            fail_msg("%s: training once more on %s gives other losses", name, tested());
    }
    print_message("losses of %d steps of %d kinds are within %.1e of the host's\n", STEPS, (int)TEST_KINDS,
                  c.error);
}

/* What the device's table lacks; docs/devices.md lists it. */
static void test_table(void **state) {
    xl_memory *memory;
    int count = 0, lacking = 0;
    (void)state;
    if (!tested())
        skip();
    assert_int_equal(xl_device_memory(tested(), &memory), XLSTM_OK);
    const xl_ops *op = memory->ops(memory, XL_PRODUCTS_REAL);
#define SIZE(name, ...)
#define OP(name, ...)                                                                                        \
    count++;                                                                                                 \
    if (!op->name) {                                                                                         \
        lacking++;                                                                                           \
        print_message("the device has no %s\n", #name);                                                      \
    }
#include "ops/ops.def"
#undef OP
    print_message("%s has %d of %d operations\n", memory->name, count - lacking, count);
}

/* More than there is. */
static void test_short_memory(void **state) {
    xlstm_config c = small_config(XLSTM_LSTM);
    xlstm_trainer_config how;
    xlstm_module *m;
    xlstm_trainer *trainer;
    (void)state;
    if (!tested())
        skip();
    assert_int_equal(xlstm_set_device(tested()), XLSTM_OK);
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    xlstm_trainer_config_init(&how);
    how.batch = 1 << 15;
    how.time = 1 << 14;
    assert_int_equal(xlstm_trainer_create(&trainer, m, &how), XLSTM_E_MEMORY);
    print_message("%s\n", xlstm_last_error());
    assert_non_null(strstr(xlstm_last_error(), "MiB are free"));
    xlstm_module_free(m);
    assert_int_equal(xlstm_set_device(NULL), XLSTM_OK);
}

/* test_device --say NAME: what is said of a device, for messages.sh. */
static int say(const char *name) {
    xlstm_status status = xlstm_set_device(name);
    puts(status == XLSTM_OK ? "it is there" : xlstm_last_error());
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "--say"))
        return say(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),    cmocka_unit_test(test_environment),
                                       cmocka_unit_test(test_copies),   cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_training), cmocka_unit_test(test_short_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
