/* Products in bfloat16: every kernel that the machine has against the rounded operands multiplied in double,
 * over odd sizes, transpositions and strides; a head with its loss against the same in double; the same bits
 * for any number of threads; and a training that stays close to one in float. */
#include "ops/cpu/bf16.h"
#include "programs/compare.h"
#include "base/half.h"
#include "base/rng.h"
#include "support/random.h"
#include "support/rooms.h"
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

static double at(const float *p, ptrdiff_t ld, int transposed, int i, int k) {
    float value = transposed ? p[k * ld + i] : p[i * ld + k];
    return (double)xl_from_bf16(xl_to_bf16(value));
}

/* Sums of K products in float, in any order, err by at most K roundings of the sum of their sizes. */
static void compare(const xl_bf16_product *p, const float *before) {
    for (int m = 0; m < p->M; m++)
        for (int n = 0; n < p->N; n++) {
            ptrdiff_t c = m * p->ldc + n;
            double sum = p->add ? (double)before[c] : p->bias ? (double)p->bias[n] : 0, size = fabs(sum);
            for (int k = 0; k < p->K; k++) {
                double product = at(p->A, p->lda, p->tA, m, k) * at(p->B, p->ldb, !p->tB, n, k);
                sum += product;
                size += fabs(product);
            }
            if (!is_near((double)p->C[c], sum, 0x1p-24 * (p->K + 2) * size))
                fail_msg("(%d, %d) of %d x %d x %d: %.9g in place of %.9g", m, n, p->M, p->N, p->K,
                         (double)p->C[c], sum);
        }
    for (int m = 0; m < p->M; m++) /* between the rows nothing has changed */
        for (ptrdiff_t n = p->N; n < p->ldc; n++)
            assert_true(p->C[m * p->ldc + n] == before[m * p->ldc + n]);
}

static void one_product(const xl_bf16_kernel *kernel, uint64_t seed, int largest) {
    uint64_t s = seed * 1000, data = seed * 1000 + 500;
    xl_bf16_product p = {.tA = pick(&s, 0, 1), .tB = pick(&s, 0, 1), .add = pick(&s, 0, 1)};
    p.M = pick(&s, 1, largest), p.N = pick(&s, 1, largest), p.K = pick(&s, 1, 2 * largest);
    p.lda = (p.tA ? p.M : p.K) + pick(&s, 0, 5), p.ldb = (p.tB ? p.K : p.N) + pick(&s, 0, 5);
    p.ldc = p.N + pick(&s, 0, 5);
    size_t of_C = (size_t)(p.M * p.ldc);
    float *A = numbers((size_t)((p.tA ? p.K : p.M) * p.lda), s),
          *B = numbers((size_t)((p.tB ? p.N : p.K) * p.ldb), data + 1);
    float *bias = numbers((size_t)p.N, data + 2), *before = numbers(of_C, data + 3);
    float *once = numbers(of_C, data + 3);
    p.A = A, p.B = B, p.C = once, p.bias = pick(&s, 0, 1) ? bias : NULL;
    for (int m = 0; !p.add && m < p.M; m++)
        for (int n = 0; n < p.N; n++)
            once[m * p.ldc + n] = NAN; /* must be written over */
    xl_bf16_run(kernel, &p);
    compare(&p, before);

    float *again = numbers(of_C, data + 3);
    p.C = again;
    assert_int_equal(xlstm_set_threads(1), XLSTM_OK);
    xl_bf16_run(kernel, &p);
    assert_int_equal(xlstm_set_threads(3), XLSTM_OK);
    assert_memory_equal(once, again, of_C * sizeof *once);
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

/* ---- head and loss */

/* Everything that xent_linear takes, and what it should give. */
typedef struct {
    int N, V, D, rounds;
    size_t ld, dx_ld;
    float *x, *W, *scratch, scale;
    int32_t *targets;
    double *each, *dx, *dW, *dx_error, *dW_error; /* errors: what roundings may come to */
} head;

static double operand(const head *h, float value) {
    return (double)(h->rounds ? xl_from_bf16(xl_to_bf16(value)) : value);
}

/* One row in double, from operands as products see them. The gradient of a logit, which is off by some 1e-5,
 * is rounded to 8 bits. */
static void expect_row(head *h, int n, const double *x, const double *W, double *g, double *logits) {
    int target = h->targets[n];
    double top = -INFINITY, sum = 0;
    for (int v = 0; v < h->V; v++) {
        logits[v] = 0;
        for (int d = 0; d < h->D; d++)
            logits[v] += x[d] * W[(size_t)v * (size_t)h->D + (size_t)d];
        top = fmax(top, logits[v]);
    }
    for (int v = 0; v < h->V; v++)
        sum += exp(logits[v] - top);
    h->each[n] = target < 0 ? 0 : log(sum) + top - logits[target];
    for (int v = 0; v < h->V; v++) {
        double p = target < 0 ? 0 : (double)h->scale * exp(logits[v] - top) / sum;
        g[v] = p - (v == target ? (double)h->scale : 0);
        double error = (h->rounds ? 0x1.1p-8 : 1e-5) * fabs(g[v]) + (v == target ? 1e-4 * p : 0);
        for (int d = 0; d < h->D; d++) {
            size_t w = (size_t)v * (size_t)h->D + (size_t)d, i = (size_t)n * (size_t)h->D + (size_t)d;
            h->dW[w] += g[v] * x[d];
            h->dW_error[w] += error * fabs(x[d]);
            h->dx[i] += g[v] * W[w];
            h->dx_error[i] += error * fabs(W[w]);
        }
    }
}

static void expect(head *h) {
    size_t N = (size_t)h->N, V = (size_t)h->V, D = (size_t)h->D;
    double *x = malloc(D * sizeof *x), *W = malloc(V * D * sizeof *W), *g = malloc(V * sizeof *g),
           *logits = malloc(V * sizeof *logits);
    for (size_t i = 0; i < V * D; i++)
        W[i] = operand(h, h->W[i]);
    for (size_t n = 0; n < N; n++) {
        for (size_t d = 0; d < D; d++)
            x[d] = operand(h, h->x[n * h->ld + d]);
        expect_row(h, (int)n, x, W, g, logits);
    }
    free(x), free(W), free(g), free(logits);
}

static void *zeros(size_t count, size_t size) {
    void *p = calloc(count, size);
    assert_non_null(p);
    return p;
}

static head make_head(int N, int V, int D, double logits, uint64_t seed) {
    size_t n = (size_t)N, v = (size_t)V, d = (size_t)D;
    head h = {.N = N, .V = V, .D = D, .ld = d + seed % 3, .dx_ld = d + seed % 4, .scale = 0.25f};
    h.x = numbers(n * h.ld, seed), h.W = malloc(v * d * sizeof(float));
    fill_normal(h.W, v * d, logits / sqrt(D), seed + 1);
    h.targets = malloc(n * sizeof(int32_t));
    for (int i = 0; i < N; i++)
        h.targets[i] =
            (int32_t)(xl_hash(seed, (uint64_t)i) % (uint64_t)(V + V / 8)) - V / 8; /* some below 0 */
    h.targets[0] = V - 1, h.targets[N - 1] = 0, h.targets[N / 2] = -1;
    h.each = zeros(n, sizeof(double));
    h.dx = zeros(n * d, sizeof(double)), h.dx_error = zeros(n * d, sizeof(double));
    h.dW = zeros(v * d, sizeof(double)), h.dW_error = zeros(v * d, sizeof(double));
    return h;
}

static void free_head(head *h) {
    void *all[] = {h->x, h->W, h->targets, h->each, h->dx, h->dW, h->dx_error, h->dW_error};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static xl_view strided(float *p, int rows, int cols, size_t ld) {
    return xl_cols(xl_rows(p, rows, (int)ld), 0, cols);
}

/* What one run wrote, all of it in one array: each, dx, dW. */
static float *run_head(const xl_ops *op, const head *h, int gradients, const float *before, size_t *count) {
    size_t n = (size_t)h->N, dx = n * h->dx_ld, dW = (size_t)h->V * (size_t)h->D;
    size_t scratch = op->xent_linear_scratch(h->N, h->V, h->D);
    float *out = malloc((n + dx + dW) * sizeof *out),
          *dirt = aligned_alloc(64, (scratch * sizeof *dirt + 63) / 64 * 64);
    for (size_t i = 0; i < scratch; i++)
        dirt[i] = NAN;
    for (size_t i = 0; i < n + dx; i++)
        out[i] = NAN; /* must be written over, but not between the rows */
    memcpy(out + n + dx, before, dW * sizeof *out);
    op->xent_linear(out, gradients ? strided(out + n, h->N, h->D, h->dx_ld) : (xl_view){0},
                    gradients ? out + n + dx : NULL, strided(h->x, h->N, h->D, h->ld), h->W, h->V, h->targets,
                    &h->scale, dirt);
    free(dirt);
    *count = n + dx + dW;
    return out;
}

static void near(const char *what, size_t at, float is, double should, double error) {
    if (!is_near((double)is, should, error))
        fail_msg("%s, number %zu: %.9g in place of %.9g +- %g", what, at, (double)is, should, error);
}

static void compare_losses(const head *h, const float *out) {
    for (size_t i = 0; i < (size_t)h->N; i++) {
        near("loss", i, out[i], h->each[i], 1e-4 * (1 + fabs(h->each[i])));
        assert_true(h->targets[i] >= 0 || out[i] == 0);
    }
}

static void compare_head(const head *h, const float *out, const float *before) {
    size_t n = (size_t)h->N, D = (size_t)h->D, dx = n * h->dx_ld;
    compare_losses(h, out);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < h->dx_ld; d++) {
            float is = out[n + i * h->dx_ld + d];
            if (d < D)
                near("dx", i * D + d, is, h->dx[i * D + d], h->dx_error[i * D + d] + 1e-6);
            else
                assert_true(isnan(is));
        }
    for (size_t i = 0; i < (size_t)h->V * D; i++)
        near("dW", i, out[n + dx + i], (double)before[i] + h->dW[i], h->dW_error[i] + 1e-6);
}

static void one_head(const xl_ops *op, const head *h) {
    float *before = numbers((size_t)h->V * (size_t)h->D, 99);
    size_t count;
    assert_int_equal(xlstm_set_threads(3), XLSTM_OK);
    float *three = run_head(op, h, 1, before, &count), *losses = run_head(op, h, 0, before, &count);
    compare_head(h, three, before);
    compare_losses(h, losses);
    if (xl_xent_cut_of(h->N, h->V, h->D).rows) /* logits made whole go through another loop with gradients */
        assert_true(same_numbers(three, losses, (size_t)h->N));
    assert_int_equal(xlstm_set_threads(1), XLSTM_OK);
    float *one = run_head(op, h, 1, before, &count);
    assert_memory_equal(one, three, count * sizeof *one);
    free(before), free(one), free(three), free(losses);
}

/* Sizes around the panels', pieces and more rows than go at once; with few classes, logits are made whole. */
static void heads(void **state) {
    (void)state;
    static const struct {
        int N, V, D, rows, pieces;
        double logits;
    } sizes[] = {{32, 1024, 32, 32, 1, 1},  {75, 1057, 32, 96, 1, 3},   {301, 2111, 41, 320, 1, 20},
                 {65, 2200, 64, 96, 1, 60}, {33, 14383, 443, 64, 2, 1}, {2090, 1030, 32, 2048, 1, 2},
                 {70, 1023, 32, 0, 0, 1},   {31, 1100, 32, 0, 0, 1},    {70, 1100, 31, 0, 0, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int N = sizes[i].N, V = sizes[i].V, D = sizes[i].D;
        xl_xent_cut cut = xl_xent_cut_of(N, V, D);
        assert_int_equal(cut.rows, sizes[i].rows);
        assert_int_equal(cut.pieces, sizes[i].pieces);
        head h = make_head(N, V, D, sizes[i].logits, 10 + i);
        h.rounds = N >= 32 && D >= 32; /* smaller products are in float */
        expect(&h);
        for (int isa = 0; isa < XL_ISAS; isa++)
            if (xl_cpu_isa(isa))
                one_head(xl_cpu_bf16(xl_cpu_isa(isa)), &h);
        free_head(&h);
    }
}

static void reference_has_none(void **state) {
    (void)state;
    assert_null(xl_cpu_bf16(&xl_ops_ref));
}

/* Every piece of every task has a panel, however few classes are left to it: heads too large to run here. */
static void pieces(void **state) {
    (void)state;
    enum { PANEL = XL_XENT_PANEL, TASKS = XL_XENT_TASKS };
    for (int width = PANEL; width <= 16384; width += width < 512 ? 3 : 61)
        for (int classes = width; classes <= 300000; classes += 61 + classes / 64) {
            xl_xent_cut c = xl_xent_cut_of(64, classes, width);
            int panels = (classes + PANEL - 1) / PANEL, fewest = panels / TASKS;
            int most = (panels + TASKS - 1) / TASKS;
            if (!c.rows)
                continue;
            if (c.pieces < 1 || c.pieces > fewest || c.piece < (most + c.pieces - 1) / c.pieces * PANEL)
                fail_msg("%d classes, width %d: %d panels of a task in %d pieces of %d classes", classes,
                         width, fewest, c.pieces, c.piece);
        }
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
    assert_true(within(real, 3.5) && is_near(bf16, real, 0.02 * real));
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
    const struct CMUnitTest all[] = {
        cmocka_unit_test(tiles),  cmocka_unit_test(products),           cmocka_unit_test(heads),
        cmocka_unit_test(pieces), cmocka_unit_test(reference_has_none), cmocka_unit_test(training)};
    take_rooms(xl_bf16_room(), 3);
    return cmocka_run_group_tests(all, NULL, NULL);
}
