/* Products in bfloat16: every kernel that the machine has against the rounded operands multiplied in double,
 * over odd sizes, transpositions and strides; the same bits for any number of threads; and a training that
 * stays close to one in float. */
#include "ops/cpu/bf16.h"
#include "base/half.h"
#include "base/rng.h"
#include "support/random.h"
#include "xlstm.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int pick(uint64_t *state, int low, int high) {
    return low + (int)(xl_hash(7, (*state)++) % (uint64_t)(high - low + 1));
}

static float *numbers(size_t count, uint64_t seed) {
    float *p = malloc(count * sizeof *p);
    fill_normal(p, count, 1, seed);
    return p;
}

static double at(const float *p, size_t ld, int turned, int i, int k) {
    float value = turned ? p[(size_t)k * ld + (size_t)i] : p[(size_t)i * ld + (size_t)k];
    return (double)xl_from_bf16(xl_to_bf16(value));
}

/* Sums of K products in float, in any order, err by at most K roundings of the sum of their sizes. */
static void compare(const xl_bf16_product *p, const float *before) {
    for (int m = 0; m < p->M; m++)
        for (int n = 0; n < p->N; n++) {
            size_t c = (size_t)m * p->ldc + (size_t)n;
            double sum = p->add ? (double)before[c] : p->bias ? (double)p->bias[n] : 0, size = fabs(sum);
            for (int k = 0; k < p->K; k++) {
                double product = at(p->A, p->lda, p->tA, m, k) * at(p->B, p->ldb, !p->tB, n, k);
                sum += product;
                size += fabs(product);
            }
            if (!(fabs((double)p->C[c] - sum) <= 0x1p-24 * (p->K + 2) * size))
                fail_msg("(%d, %d) of %d x %d x %d: %.9g in place of %.9g", m, n, p->M, p->N, p->K,
                         (double)p->C[c], sum);
        }
    for (int m = 0; m < p->M; m++) /* between the rows nothing has changed */
        for (size_t n = (size_t)p->N; n < p->ldc; n++)
            assert_true(p->C[(size_t)m * p->ldc + n] == before[(size_t)m * p->ldc + n]);
}

static void one_product(const xl_bf16_kernel *kernel, uint64_t seed, int largest) {
    uint64_t s = seed * 1000, data = seed * 1000 + 500;
    xl_bf16_product p = {.tA = pick(&s, 0, 1), .tB = pick(&s, 0, 1), .add = pick(&s, 0, 1)};
    p.M = pick(&s, 1, largest), p.N = pick(&s, 1, largest), p.K = pick(&s, 1, 2 * largest);
    p.lda = (size_t)((p.tA ? p.M : p.K) + pick(&s, 0, 5)),
    p.ldb = (size_t)((p.tB ? p.K : p.N) + pick(&s, 0, 5));
    p.ldc = (size_t)(p.N + pick(&s, 0, 5));
    float *A = numbers((size_t)(p.tA ? p.K : p.M) * p.lda, s),
          *B = numbers((size_t)(p.tB ? p.N : p.K) * p.ldb, data + 1);
    float *bias = numbers((size_t)p.N, data + 2), *before = numbers((size_t)p.M * p.ldc, data + 3);
    float *once = numbers((size_t)p.M * p.ldc, data + 3);
    p.A = A, p.B = B, p.C = once, p.bias = pick(&s, 0, 1) ? bias : NULL;
    for (int m = 0; !p.add && m < p.M; m++)
        for (int n = 0; n < p.N; n++)
            once[(size_t)m * p.ldc + (size_t)n] = NAN; /* must be written over */
    xl_bf16_run(kernel, &p);
    compare(&p, before);

    float *again = numbers((size_t)p.M * p.ldc, data + 3);
    p.C = again;
    assert_int_equal(xlstm_set_threads(1), XLSTM_OK);
    xl_bf16_run(kernel, &p);
    assert_int_equal(xlstm_set_threads(3), XLSTM_OK);
    assert_memory_equal(once, again, (size_t)p.M * p.ldc * sizeof *once);
    float *all[] = {A, B, bias, before, once, again};
    for (int i = 0; i < 6; i++)
        free(all[i]);
}

static void products(void **state) {
    (void)state;
    const xl_bf16_kernel *kernel;
    int kernels = 0;
    assert_int_equal(xlstm_set_threads(3), XLSTM_OK);
    for (; (kernel = xl_bf16_kernel_at(kernels)); kernels++) {
        print_message("%s\n", kernel->name);
        for (uint64_t seed = 1; seed <= 40; seed++)
            one_product(kernel, seed, seed <= 30 ? 70 : 330);
    }
    assert_true(kernels >= 1);
}

/* All kernels round alike, so whatever packs can serve whatever multiplies: their tiles are the same. */
static void tiles(void **state) {
    (void)state;
    float *p = numbers(32 * 40, 3);
    p[5] = NAN, p[77] = INFINITY, p[78] = -0.0f;
    const xl_bf16_kernel *kernel;
    for (int i = 0; (kernel = xl_bf16_kernel_at(i)); i++)
        for (int how = 0; how < 4; how++) {
            _Alignas(64) uint16_t mine[BF16_TILE], plain[BF16_TILE];
            kernel->pack(mine, p, 40, how & 1, how >> 1);
            xl_bf16_plain.pack(plain, p, 40, how & 1, how >> 1);
            for (int k = 0; k < BF16_TILE; k++)
                if (plain[k] != mine[k] && !isnan(xl_from_bf16(plain[k])))
                    fail_msg("%s, layout %d, number %d: %x in place of %x", kernel->name, how, k, mine[k],
                             plain[k]);
        }
    free(p);
}

static double train(xlstm_products products, int steps) {
    enum { B = 8, T = 16, V = 64 };
    xlstm_config c;
    xlstm_module *m;
    xlstm_trainer *tr;
    xlstm_optimizer *opt;
    xlstm_trainer_config tc;
    xlstm_optimizer_config oc;
    xlstm_loss loss = {0};
    int32_t tokens[B * T], targets[B * T];
    uint64_t s = 5;
    xlstm_config_init(&c, XLSTM_MLSTM);
    c.vocab_size = V, c.embedding_dim = 64, c.num_blocks = 2;
    xlstm_trainer_config_init(&tc);
    tc.batch = B, tc.time = T, tc.products = products;
    xlstm_optimizer_config_init(&oc, XLSTM_ADAMW);
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_OK);
    assert_int_equal(xlstm_optimizer_create(&opt, m, &oc), XLSTM_OK);
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < B * T; i++) {
            tokens[i] = pick(&s, 0, V - 1);
            targets[i] = i % T ? tokens[i - 1] : -1;
        }
        xlstm_batch b = {.struct_size = sizeof b, .tokens = tokens, .targets = targets};
        assert_int_equal(xlstm_trainer_backward(tr, &b, &loss), XLSTM_OK);
        assert_int_equal(xlstm_optimizer_step(opt, tr, 5e-3f, NULL), XLSTM_OK);
    }
    xlstm_optimizer_free(opt);
    xlstm_trainer_free(tr);
    xlstm_module_free(m);
    return loss.mean;
}

static void training(void **state) {
    (void)state;
    double real = train(XLSTM_PRODUCTS_REAL, 40), bf16 = train(XLSTM_PRODUCTS_BF16, 40);
    print_message("loss after 40 updates: %.4f, with bfloat16 products %.4f\n", real, bf16);
    assert_true(real != bf16); /* they are really used */
    assert_true(real < 3.5 && fabs(bf16 - real) < 0.02 * real);
    xlstm_trainer_config tc;
    xlstm_trainer *tr;
    xlstm_module *m;
    xlstm_config c;
    xlstm_config_init(&c, XLSTM_MLSTM);
    c.vocab_size = 8, c.embedding_dim = 64, c.num_blocks = 1;
    assert_int_equal(xlstm_model_create(&m, &c, 1), XLSTM_OK);
    xlstm_trainer_config_init(&tc);
    tc.products = (xlstm_products)7;
    assert_int_equal(xlstm_trainer_create(&tr, m, &tc), XLSTM_E_CONFIG);
    xlstm_module_free(m);
}

int main(void) {
    const struct CMUnitTest all[] = {cmocka_unit_test(tiles), cmocka_unit_test(products),
                                     cmocka_unit_test(training)};
    return cmocka_run_group_tests(all, NULL, NULL);
}
