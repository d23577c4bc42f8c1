/* Files are the same in a country that writes 2,667: what is saved there has the same bytes, and what is
 * loaded there the same numbers. LOCPATH leads to a de_DE.UTF-8 that the test before this one made. */
#include "support/kinds.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { LARGEST = 1 << 20 };

static char directory[] = "/tmp/xlstm_locale_XXXXXX";

static void speak(const char *locale, const char *point) {
    assert_non_null(setlocale(LC_ALL, locale));
    assert_string_equal(localeconv()->decimal_point, point);
}

static const char *in_directory(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static size_t read_file(const char *name, char bytes[LARGEST]) {
    FILE *f = fopen(in_directory(name), "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, LARGEST, f);
    fclose(f);
    assert_true(n > 0 && n < LARGEST);
    unlink(in_directory(name));
    return n;
}

static void assert_same_files(const char *a, const char *b) {
    static char bytes[2][LARGEST];
    size_t n = read_file(a, bytes[0]);
    assert_int_equal(read_file(b, bytes[1]), n);
    assert_memory_equal(bytes[0], bytes[1], n);
}

/* Every dialect has fractions in it. */
static xlstm_config config_of(int kind) {
    xlstm_config c = small_config((xlstm_block_kind)kind);
    c.dropout = kind == XLSTM_MLSTM_LARGE ? 0 : 0.125f;
    c.mlstm_proj_factor = 1.7f;
    c.ffn_proj_factor = 2.667f;
    c.norm_eps = 1e-6f;
    if (kind == XLSTM_MLSTM_LARGE)
        c.gate_soft_cap = 15.5f;
    return c;
}

static void test_configurations(void **state) {
    (void)state;
    for (int kind = 0; kind < XLSTM_BLOCK_KINDS; kind++) {
        xlstm_config c = config_of(kind), here, there;
        speak("C", ".");
        assert_int_equal(xlstm_config_save(&c, in_directory("here.json")), XLSTM_OK);
        assert_int_equal(xlstm_config_load(in_directory("here.json"), &here), XLSTM_OK);
        assert_true(here.ffn_proj_factor == 2.667f || here.gate_soft_cap == 15.5f);
        speak("de_DE.UTF-8", ",");
        assert_int_equal(xlstm_config_load(in_directory("here.json"), &there), XLSTM_OK);
        assert_memory_equal(&here, &there, sizeof here);
        assert_int_equal(xlstm_config_save(&c, in_directory("there.json")), XLSTM_OK);
        assert_same_files("here.json", "there.json");
    }
}

static void test_models(void **state) {
    (void)state;
    xlstm_config c = small_config(XLSTM_SLSTM);
    xlstm_module *m, *again;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    speak("C", ".");
    assert_int_equal(xlstm_module_save_weights(m, in_directory("here")), XLSTM_OK);
    speak("de_DE.UTF-8", ",");
    assert_int_equal(xlstm_module_save_weights(m, in_directory("there")), XLSTM_OK);
    assert_same_files("here", "there");
    assert_int_equal(xlstm_module_save(m, directory), XLSTM_OK);
    assert_int_equal(xlstm_module_load(&again, directory), XLSTM_OK);
    assert_int_equal(xlstm_module_size(again), xlstm_module_size(m));
    unlink(in_directory("config.json"));
    unlink(in_directory("weights.safetensors"));
    xlstm_module_free(again);
    xlstm_module_free(m);
}

static void test_mix(void **state) {
    xlstm_config c = small_config(XLSTM_MLSTM);
    (void)state;
    speak("de_DE.UTF-8", ",");
    assert_int_equal(xlstm_config_mix(&c, "1:1"), XLSTM_OK);
    assert_int_equal(c.block_kind[1], XLSTM_SLSTM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_mix),
    };
    if (!setlocale(LC_ALL, "de_DE.UTF-8") || !mkdtemp(directory)) {
        fprintf(stderr, "no de_DE.UTF-8 in LOCPATH, or no place for files\n");
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(directory);
    return failed;
}
