/* Reading and writing safetensors: numbers survive, hostile files are refused with a sentence. */
#include "base/half.h"
#include "xlstm/tensors.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64];

static int setup(void **state) {
    (void)state;
    snprintf(path, sizeof path, "test_safetensors.%ld.tmp", (long)getpid());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

static void put(const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A file of this header and `data` zero bytes. */
static void put_header_n(const char *header, uint64_t length, size_t data) {
    size_t size = 8 + (size_t)length + data;
    char *bytes = calloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, (size_t)length);
    put(bytes, size);
    free(bytes);
}

static void put_header(const char *header, size_t data) {
    put_header_n(header, strlen(header), data);
}

static void refused(const char *because) {
    xlstm_tensors *t = (xlstm_tensors *)&path;
    xlstm_status status = xlstm_tensors_open(&t, path);
    if (status != XLSTM_E_FORMAT || t || !strstr(xlstm_last_error(), because))
        fail_msg("expected a refusal with \"%s\", got %d \"%s\"", because, status, xlstm_last_error());
}

/* ---- refused ---- */

static const struct {
    const char *header;
    size_t data;
    const char *because;
} hostile[] = {
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "truncated"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "belong to no tensor"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "shape and dtype need 12"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "shape and dtype need 16"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "not inside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "not inside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775800,9223372036854775804]}}",
     8, "not inside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
     12, "hole"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
     12, "inside its neighbour"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
     8, "inside its neighbour"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "negative"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1,-1],\"data_offsets\":[0,4]}}", 4, "negative"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "fractional"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4, "fractional"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905,4],\"data_offsets\":[0,16]}}", 16,
     "overflowing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     "overflowing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4, "malformed"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "no shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape"},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4, "shape and dtype need 3"},
    {"{\"a\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "shape and dtype need 8"},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
     "shape and dtype need 2"}, /* half a byte */
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "shape and dtype need 2"},
    {"{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "shape and dtype need 3"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "truncated"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[2,4]}}", 4, "hole"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,3]},"
     "\"b\":{\"dtype\":\"F8_E5M2\",\"shape\":[2],\"data_offsets\":[2,4]}}",
     4, "inside its neighbour"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "not two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "not two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0.0,4.0]}}", 4, "not two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"evil\":1}}", 4,
     "unknown property evil"},
    {"{\"a\":[]}", 0, "not described by an object"},
    {"{\"__metadata__\":[]}", 0, "not an object"},
    {"{\"__metadata__\":\"pt\"}", 0, "not an object"},
    {"{\"\xff\xfe\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "malformed"},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "malformed"},
    {"{\"\xc0\xaf\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "malformed"},
    {"[]", 0, "does not begin with {"},
    {"    ", 0, "does not begin with {"},
    {" []", 0, "does not begin with {"},
    {"\v{}", 0, "does not begin with {"},
    {"\xef\xbb\xbf{}", 0, "does not begin with {"},
    {"{", 0, "malformed"},
    {"{}x", 0, "malformed"},
    {"{\"a\":}", 0, "malformed"},
};

static void test_hostile_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        put_header(hostile[i].header, hostile[i].data);
        refused(hostile[i].because);
    }
}

static void test_hostile_lengths(void **state) {
    (void)state;
    static const uint64_t lengths[] = {9, 100, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char bytes[16] = {0};
        memcpy(bytes, &lengths[i], 8);
        memcpy(bytes + 8, "{}      ", 8);
        put(bytes, sizeof bytes);
        refused("truncated");
    }
    put("\0\0\0\0\0\0\0\0", 8);
    refused("does not begin");
    put("1234567", 7);
    refused("at least 8");
    put("", 0);
    refused("at least 8");
}

static void test_deep_json(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    for (int kind = 0; kind < 2; kind++) {
        char *header = calloc(1, 8 * DEPTH), *p = header;
        assert_non_null(header);
        p += sprintf(p, "{\"a\":");
        for (int i = 0; i < DEPTH; i++)
            p += sprintf(p, kind ? "[" : "{\"b\":");
        put_header_n(header, (uint64_t)(p - header), 0);
        free(header);
        refused("nested deeper");
    }
}

/* A string is not nesting, however many brackets it holds. */
static void test_brackets_in_names(void **state) {
    (void)state;
    put_header("{\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\":"
               "{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}   ",
               1);
    xlstm_tensors *t;
    xlstm_tensor x;
    assert_int_equal(xlstm_tensors_open(&t, path), XLSTM_OK);
    assert_int_equal(xlstm_tensors_get(t, 0, &x), XLSTM_OK);
    assert_int_equal(x.ndim, 0);
    assert_int_equal(x.count, 1);
    xlstm_tensors_close(t);
}

/* Every cut of a good file is refused, and so is every flipped bit or the file still opens: nothing crashes.
 */
static void test_cut_and_flipped(void **state) {
    (void)state;
    const float values[6] = {1, 2, 3, 4, 5, 6};
    xlstm_tensor a = {.name = "alpha", .dtype = XLSTM_F32, .ndim = 2, .shape = {2, 3}, .data = values};
    xlstm_tensor b = {.name = "beta", .dtype = XLSTM_F32, .ndim = 1, .shape = {6}, .data = values};
    assert_int_equal(xlstm_tensors_write(path, (xlstm_tensor[]){a, b}, 2), XLSTM_OK);
    char bytes[1024];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    xlstm_tensors *t;
    for (size_t cut = 0; cut < size; cut++) {
        put(bytes, cut);
        assert_int_equal(xlstm_tensors_open(&t, path), XLSTM_E_FORMAT);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        put(bytes, size);
        if (xlstm_tensors_open(&t, path) == XLSTM_OK)
            xlstm_tensors_close(t);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
}

static void test_no_file(void **state) {
    (void)state;
    xlstm_tensors *t;
    assert_int_equal(xlstm_tensors_open(&t, "no/such/file"), XLSTM_E_IO);
    assert_non_null(strstr(xlstm_last_error(), "no/such/file"));
    assert_int_equal(xlstm_tensors_open(&t, "."), XLSTM_E_IO);
    xlstm_tensor x = {.name = "x", .dtype = XLSTM_U8, .ndim = 1, .shape = {0}};
    assert_int_equal(xlstm_tensors_write("no/such/dir/file", &x, 1), XLSTM_E_IO);
}

/* ---- accepted ---- */

static void test_round_trip(void **state) {
    (void)state;
    const double f64[3] = {1.0 / 3, -0.0, 1e300};
    const float f32[2] = {0.1f, -7};
    const uint16_t bf16[2] = {xl_to_bf16(1.5f), xl_to_bf16(-3)}, f16[1] = {xl_to_f16(0.25f)};
    const int64_t i64[2] = {-5, INT64_MAX};
    const uint8_t u8[1] = {200};
    const xlstm_tensor in[] = {
        {.name = "bytes", .dtype = XLSTM_U8, .ndim = 1, .shape = {1}, .data = u8},
        {.name = "a", .dtype = XLSTM_F64, .ndim = 1, .shape = {3}, .data = f64},
        {.name = "b", .dtype = XLSTM_F32, .ndim = 3, .shape = {1, 2, 1}, .data = f32},
        {.name = "c", .dtype = XLSTM_BF16, .ndim = 1, .shape = {2}, .data = bf16},
        {.name = "d", .dtype = XLSTM_F16, .ndim = 1, .shape = {1}, .data = f16},
        {.name = "tokens \xc3\xa9", .dtype = XLSTM_I64, .ndim = 2, .shape = {2, 1}, .data = i64},
        {.name = "none", .dtype = XLSTM_F32, .ndim = 2, .shape = {0, 9}},
    };
    assert_int_equal(xlstm_tensors_write(path, in, 7), XLSTM_OK);
    xlstm_tensors *t;
    xlstm_tensor x;
    double d[3];
    int64_t n[2];
    assert_int_equal(xlstm_tensors_open(&t, path), XLSTM_OK);
    assert_int_equal(xlstm_tensors_count(t), 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(xlstm_tensors_find(t, in[i].name, &x), XLSTM_OK);
        assert_int_equal(x.dtype, in[i].dtype);
        assert_int_equal(x.ndim, in[i].ndim);
        assert_memory_equal(x.shape, in[i].shape, sizeof x.shape);
        assert_int_equal((uintptr_t)x.data % xlstm_dtype_size(x.dtype), 0);
        if (x.count)
            assert_memory_equal(x.data, in[i].data, x.count * xlstm_dtype_size(x.dtype));
    }
    assert_int_equal(xlstm_tensors_find(t, "c", &x), XLSTM_OK);
    assert_int_equal(xlstm_tensor_doubles(&x, d), XLSTM_OK);
    assert_true(d[0] == 1.5 && d[1] == -3);
    assert_int_equal(xlstm_tensor_int64s(&x, n), XLSTM_E_FORMAT);
    assert_int_equal(xlstm_tensors_find(t, "tokens \xc3\xa9", &x), XLSTM_OK);
    assert_int_equal(xlstm_tensor_int64s(&x, n), XLSTM_OK);
    assert_true(n[0] == -5 && n[1] == INT64_MAX);
    assert_int_equal(xlstm_tensors_find(t, "nothing", &x), XLSTM_E_NOT_FOUND);
    assert_int_equal(xlstm_tensors_get(t, 7, &x), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tensors_get(t, -1, &x), XLSTM_E_ARGUMENT);
    xlstm_tensors_close(t);
}

static void test_metadata(void **state) {
    (void)state;
    const float v = 1;
    const xlstm_tensor x = {.name = "x", .dtype = XLSTM_F32, .ndim = 1, .shape = {1}, .data = &v};
    const xlstm_metadata texts[] = {{"kind", "a \"test\""}, {"", "\xc3\xa9"}};
    const xlstm_metadata bad[][2] = {{{NULL, "a"}, {"b", "b"}},
                                     {{"a", NULL}, {"b", "b"}},
                                     {{"a", "\xff"}, {"b", "b"}},
                                     {{"\xff", "a"}, {"b", "b"}},
                                     {{"a", "a"}, {"a", "b"}}};
    xlstm_tensors *t;
    char head[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(xlstm_tensors_write_with("never", &x, 1, bad[i], 2), XLSTM_E_ARGUMENT);
    assert_int_equal(access("never", F_OK), -1);
    assert_int_equal(xlstm_tensors_write_with(path, &x, 1, texts, 2), XLSTM_OK);
    assert_int_equal(xlstm_tensors_open(&t, path), XLSTM_OK);
    assert_int_equal(xlstm_tensors_count(t), 1);
    assert_string_equal(xlstm_tensors_metadata(t, "kind"), texts[0].text);
    assert_string_equal(xlstm_tensors_metadata(t, ""), texts[1].text);
    assert_null(xlstm_tensors_metadata(t, "x"));
    assert_null(xlstm_tensors_metadata(t, NULL));
    assert_null(xlstm_tensors_metadata(NULL, "kind"));
    xlstm_tensors_close(t);
    FILE *f = fopen(path, "rb"); /* first, so that who looks at the beginning finds it */
    assert_non_null(f);
    assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
    fclose(f);
    assert_memory_equal(head + 8, "{\"__metadata__\":{\"kind\":", 24);
    assert_int_equal(xlstm_tensors_write_with(path, &x, 1, NULL, 0), XLSTM_OK);
    assert_int_equal(xlstm_tensors_open(&t, path), XLSTM_OK);
    assert_null(xlstm_tensors_metadata(t, "kind"));
    xlstm_tensors_close(t);
}

/* Tensors of types whose numbers are not read, beside one that is: [name, type, shape, bytes]. */
static const struct {
    const char *type, *shape;
    size_t bytes, count;
    xlstm_dtype dtype;
} beside[] = {
    {"F8_E4M3", "0", 0, 0, XLSTM_F8_E4M3},
    {"F8_E4M3", "2,3", 6, 6, XLSTM_F8_E4M3},
    {"F8_E5M2", "5", 5, 5, XLSTM_F8_E5M2},
    {"F8_E8M0", "1", 1, 1, XLSTM_F8_E8M0},
    {"F8_E4M3FNUZ", "3", 3, 3, XLSTM_F8_E4M3FNUZ},
    {"F8_E5M2FNUZ", "3", 3, 3, XLSTM_F8_E5M2FNUZ},
    {"C64", "3", 24, 3, XLSTM_C64},
    {"F4", "2,3", 3, 6, XLSTM_F4},
    {"F6_E2M3", "4", 3, 4, XLSTM_F6_E2M3},
    {"F6_E3M2", "8", 6, 8, XLSTM_F6_E3M2},
    {"I128", "2", 32, 2, XLSTM_OTHER_DTYPE},
    {"Q4_0", "64", 36, 64, XLSTM_OTHER_DTYPE},
    {"other", "", 3, 1, XLSTM_OTHER_DTYPE},
    {"", "7", 0, 7, XLSTM_OTHER_DTYPE},
};

static char told[512];
static void hear(void *context, xlstm_log_level level, const char *sentence) {
    (void)context;
    if (level == XLSTM_LOG_WARNING)
        snprintf(told, sizeof told, "%s", sentence);
}

static void not_read(const xlstm_tensor *t) {
    static xlstm_real reals[64];
    static double doubles[64];
    static int64_t integers[64];
    xlstm_status got[] = {xlstm_tensor_reals(t, reals), xlstm_tensor_doubles(t, doubles),
                          xlstm_tensor_int64s(t, integers)};
    for (int i = 0; i < 3; i++)
        assert_int_equal(got[i], XLSTM_E_FORMAT);
    assert_int_equal(xlstm_tensor_reals(t, reals), XLSTM_E_FORMAT);
    assert_non_null(strstr(xlstm_last_error(), "tensor beside is "));
    assert_non_null(strstr(xlstm_last_error(), xlstm_dtype_name(t->dtype)));
}

static void test_types_beside(void **state) {
    (void)state;
    static const float want[6] = {0, 1, 2, 3, 4, 5};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        for (int first = 0; first < 2; first++) { /* the other one's data is before, or behind */
            size_t at = first ? beside[i].bytes : 0, other = first ? 0 : sizeof want, length;
            char bytes[1024] = {0}, *header = bytes + 8;
            length = (size_t)sprintf(
                header,
                "{\"beside\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]},"
                "\"weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[%zu,%zu]}}",
                beside[i].type, beside[i].shape, other, other + beside[i].bytes, at, at + sizeof want);
            memcpy(bytes, &(uint64_t){length}, 8);
            memcpy(header + length + at, want, sizeof want);
            put(bytes, 8 + length + sizeof want + beside[i].bytes);
            xlstm_tensors *t;
            xlstm_tensor x;
            xlstm_real got[6];
            told[0] = 0;
            xlstm_set_log(hear, NULL);
            if (xlstm_tensors_open(&t, path))
                fail_msg("%s: %s", beside[i].type, xlstm_last_error());
            xlstm_set_log(NULL, NULL);
            assert_int_equal(strstr(told, "beside is of type") != NULL, beside[i].dtype == XLSTM_OTHER_DTYPE);
            assert_non_null(strstr(told, beside[i].dtype == XLSTM_OTHER_DTYPE ? beside[i].type : ""));
            assert_int_equal(xlstm_tensors_count(t), 2);
            assert_int_equal(xlstm_tensors_find(t, "weight", &x), XLSTM_OK);
            assert_int_equal(xlstm_tensor_reals(&x, got), XLSTM_OK);
            for (int k = 0; k < 6; k++)
                assert_true(got[k] == (xlstm_real)want[k]);
            assert_int_equal(xlstm_tensors_find(t, "beside", &x), XLSTM_OK);
            assert_int_equal(x.dtype, beside[i].dtype);
            assert_int_equal(x.count, beside[i].count);
            not_read(&x);
            xlstm_tensors_close(t);
        }
}

/* What the safetensors package takes: white space of JSON around the header, and no metadata at all. */
static void test_accepted_headers(void **state) {
    (void)state;
    static const char *const around[] = {"%s", " \n\t\r%s", "%s \n\t\r", "                %s        "};
    static const char *const metadata[] = {"", "\"__metadata__\":null,", "\"__metadata__\":{},",
                                           "\"__metadata__\":{\"format\":\"pt\",\"step\":7,\"x\":null},"};
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 4; k++) {
            char object[256], header[300];
            xlstm_tensors *t;
            snprintf(object, sizeof object,
                     "{%s\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", metadata[k]);
            snprintf(header, sizeof header, around[i], object);
            put_header(header, 4);
            if (xlstm_tensors_open(&t, path))
                fail_msg("%s: %s", header, xlstm_last_error());
            assert_int_equal(xlstm_tensors_count(t), 1);
            xlstm_tensors_close(t);
        }
}

static void test_opaque_round_trip(void **state) {
    (void)state;
    static const unsigned char bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    const xlstm_tensor in[] = {
        {.name = "f8", .dtype = XLSTM_F8_E4M3, .ndim = 1, .shape = {5}, .data = bytes},
        {.name = "c", .dtype = XLSTM_C64, .ndim = 1, .shape = {2}, .data = bytes},
    };
    xlstm_tensors *t;
    xlstm_tensor x;
    assert_int_equal(xlstm_tensors_write(path, in, 2), XLSTM_OK);
    assert_int_equal(xlstm_tensors_open(&t, path), XLSTM_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(xlstm_tensors_find(t, in[i].name, &x), XLSTM_OK);
        assert_int_equal(x.dtype, in[i].dtype);
        assert_memory_equal(x.data, bytes, x.count * xlstm_dtype_size(x.dtype));
    }
    xlstm_tensors_close(t);
    xlstm_tensor half = {.name = "f4", .dtype = XLSTM_F4, .ndim = 1, .shape = {2}, .data = bytes};
    assert_int_equal(xlstm_tensors_write(path, &half, 1), XLSTM_E_ARGUMENT);
    half.dtype = XLSTM_OTHER_DTYPE;
    assert_int_equal(xlstm_tensors_write(path, &half, 1), XLSTM_E_ARGUMENT);
}

static void test_writer_refuses(void **state) {
    (void)state;
    const float v = 1;
    xlstm_tensor good = {.name = "x", .dtype = XLSTM_F32, .data = &v}, bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].name = "__metadata__";
    bad[1].name = "\xff";
    bad[2].data = NULL;
    bad[3].ndim = 9;
    bad[4].dtype = XLSTM_DTYPES;
    bad[5].ndim = 1;
    bad[5].shape[0] = -1;
    for (int i = 0; i < 6; i++)
        assert_int_equal(xlstm_tensors_write(path, &bad[i], 1), XLSTM_E_ARGUMENT);
    assert_int_equal(xlstm_tensors_write(path, (xlstm_tensor[]){good, good}, 2), XLSTM_E_ARGUMENT);
}

/* ---- 16-bit floats ---- */

static void test_half(void **state) {
    (void)state;
    for (uint32_t u = 0; u < 65536; u++) { /* there and back for every value */
        uint16_t h = (uint16_t)u;
        int nan16 = (h & 0x7fffu) > 0x7c00u, nanb = (h & 0x7fffu) > 0x7f80u;
        if (nan16)
            assert_true(isnan(xl_from_f16(xl_to_f16(xl_from_f16(h)))));
        else
            assert_int_equal(xl_to_f16(xl_from_f16(h)), h);
        if (nanb)
            assert_true(isnan(xl_from_bf16(xl_to_bf16(xl_from_bf16(h)))));
        else
            assert_int_equal(xl_to_bf16(xl_from_bf16(h)), h);
    }
    for (uint32_t u = 0; u < 0x7bffu; u++) { /* halfway goes to even, just beside it to the nearer one */
        float low = xl_from_f16((uint16_t)u), high = xl_from_f16((uint16_t)(u + 1)),
              middle = (low + high) / 2;
        assert_int_equal(xl_to_f16(middle), u + (u & 1));
        assert_int_equal(xl_to_f16(nextafterf(middle, 0)), u);
        assert_int_equal(xl_to_f16(-nextafterf(middle, INFINITY)), 0x8000u | (u + 1));
    }
    assert_int_equal(xl_to_f16(65519.996f), 0x7bff);
    assert_int_equal(xl_to_f16(65520), 0x7c00);
    assert_int_equal(xl_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(xl_to_bf16(1.00390625f), 0x3f80); /* halfway to even */
    assert_int_equal(xl_to_bf16(1.01171875f), 0x3f82);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_deep_json),
        cmocka_unit_test(test_cut_and_flipped),
        cmocka_unit_test(test_brackets_in_names),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_types_beside),
        cmocka_unit_test(test_accepted_headers),
        cmocka_unit_test(test_opaque_round_trip),
        cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_half),
    };
    return cmocka_run_group_tests_name("safetensors", tests, setup, teardown);
}
