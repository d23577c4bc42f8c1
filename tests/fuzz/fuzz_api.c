/* The bytes are a program: calls in any order, with sizes good and bad, over a few handles of each kind. What
 * the documentation forbids and no function can notice is left out: a handle after its free, an array shorter
 * than said. Arrays have exactly the size that is asked for, so that ASAN sees the first number too far. */
#include "fuzz/fuzz.h"
#include <math.h>

enum { SLOTS = 3, MOST_CALLS = 40 };

typedef struct {
    const uint8_t *at, *end;
} program;

typedef struct {
    xlstm_module *m;
    int packed;
    xlstm_session *s;
    int streams;
    xlstm_trainer *tr;
    int batch, time;
    xlstm_optimizer *opt;
} slot;

static slot slots[SLOTS];

static unsigned next(program *p) {
    return p->at < p->end ? *p->at++ : 0;
}

static int one_in(program *p, unsigned n) {
    return next(p) % n == 0;
}

/* Mostly small ones that work; now and then one that cannot. */
static int size_of(program *p, int most) {
    static const int bad[] = {0, -1, INT32_MIN, INT32_MAX, 1 << 20, 1 << 30};
    unsigned b = next(p);
    return b < 12 ? bad[b % 6] : 1 + (int)(b % (unsigned)most);
}

static int stream_of(program *p) {
    static const int streams[] = {0, 1, 2, -1, -2, INT32_MIN, INT32_MAX};
    return streams[next(p) % 7];
}

static float number_of(program *p) {
    static const float odd[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1e38f, 1e-38f, -1};
    unsigned b = next(p);
    return b < 16 ? odd[b % 8] : ((float)b - 128) / 64;
}

/* ---- arrays ---- */

static xlstm_real *reals(program *p, size_t count) {
    xlstm_real *x = malloc((count + !count) * sizeof *x);
    MUST(x);
    float a = number_of(p), b = number_of(p);
    for (size_t i = 0; i < count; i++)
        x[i] = i % 3 ? a : b;
    return x;
}

static int32_t *tokens(program *p, size_t count, int vocab) {
    int32_t *t = malloc((count + !count) * sizeof *t);
    MUST(t);
    for (size_t i = 0; i < count; i++)
        t[i] = vocab ? (int32_t)((i * 5 + 1) % (size_t)vocab) : 0;
    if (count && one_in(p, 6))
        t[next(p) % count] = size_of(p, 40);
    return t;
}

/* Room for a result; NULL now and then. */
static xlstm_real *room(program *p, size_t count) {
    xlstm_real *x = one_in(p, 8) ? NULL : malloc((count + !count) * sizeof *x);
    return x;
}

/* ---- handles ---- */

static void free_users(slot *k) { /* of the module */
    xlstm_session_free(k->s);
    xlstm_trainer_free(k->tr);
    xlstm_optimizer_free(k->opt);
    k->s = NULL;
    k->tr = NULL;
    k->opt = NULL;
}

static void free_slot(slot *k) {
    free_users(k);
    xlstm_module_free(k->m);
    *k = (slot){0};
}

static void fill_config(program *p, xlstm_config *c) {
    unsigned kind = next(p) % (XLSTM_BLOCK_KINDS + 1);
    xlstm_config_init(c, (xlstm_block_kind)kind);
    c->embedding_dim = one_in(p, 6) ? size_of(p, 24) : 8;
    c->num_heads = one_in(p, 6) ? size_of(p, 8) : 2;
    c->num_blocks = 1 + (int)(next(p) % 2);
    c->vocab_size = one_in(p, 3) ? 0 : one_in(p, 6) ? size_of(p, 40) : 7;
    c->input_dim = one_in(p, 6) ? size_of(p, 9) : 3;
    c->output_dim = one_in(p, 6) ? size_of(p, 9) : 2;
    c->chunk_size = one_in(p, 6) ? size_of(p, 9) : 4;
    c->context_length = one_in(p, 6) ? size_of(p, 9) : 6;
    c->tie_weights = one_in(p, 4);
    c->bias = one_in(p, 2);
    c->slstm_lstm = one_in(p, 4);
    c->slstm_conv = (int)(next(p) % 5);
    c->mlstm_conv = one_in(p, 6) ? size_of(p, 5) : 4;
    c->mlstm_inner = one_in(p, 3) ? 0 : 16;
    c->ffn_round_up = 8;
    c->dropout = one_in(p, 6) ? number_of(p) : 0;
    c->block_kind[1] = (unsigned char)(one_in(p, 3) ? next(p) : kind);
    if (one_in(p, 20))
        c->struct_size = next(p) % sizeof *c; /* not more than there is */
}

static int is_reasonable(const xlstm_config *c) {
    return c->embedding_dim <= 64 && c->vocab_size <= 64 && c->input_dim <= 64 && c->output_dim <= 64 &&
           c->context_length <= 64;
}

static void create_module(program *p, slot *k) {
    xlstm_config c;
    xlstm_cell_config cell;
    fill_config(p, &c);
    unsigned how = next(p) % 6;
    free_slot(k);
    if (!is_reasonable(&c) && xlstm_config_check(&c) == XLSTM_OK)
        return; /* works, and takes gigabytes */
    xlstm_status status;
    if (how == 0) {
        xlstm_cell_config_init(&cell, (xlstm_cell_kind)(next(p) % (XLSTM_CELL_KINDS + 1)));
        cell.input_size = one_in(p, 6) ? size_of(p, 9) % 1000 : 3;
        cell.hidden_size = one_in(p, 6) ? size_of(p, 9) % 1000 : 8;
        cell.num_heads = one_in(p, 4) ? size_of(p, 4) : cell.kind == XLSTM_CELL_LSTM ? 1 : 2;
        status = xlstm_cell_create(&k->m, &cell, 1);
    } else {
        status = (how == 1 ? xlstm_block_create : xlstm_model_create)(&k->m, &c, 1);
    }
    MUST(went_well(status) == (k->m != NULL));
}

static void quantize(program *p, slot *from, slot *to) {
    xlstm_module *m = from->m; /* may be NULL */
    xlstm_module *made = NULL;
    MUST(went_well(xlstm_module_quantize(&made, m, (xlstm_weights)(next(p) % 4))) == (made != NULL));
    free_slot(to);
    to->m = made; /* if that was the same slot, the copy outlives what it was made from */
    to->packed = made != NULL;
}

static void look_at_module(program *p, slot *k) {
    xlstm_parameter q;
    int index = size_of(p, 20);
    if (!went_well(xlstm_module_parameter(k->m, index, &q)))
        return;
    xlstm_parameter same;
    xlstm_real *x = malloc(q.count * sizeof *x);
    MUST(x && went_well(xlstm_module_find(k->m, q.name, &same)) && same.count == q.count);
    MUST(went_well(xlstm_module_read(k->m, index, x)));
    x[next(p) % q.count] = number_of(p);
    MUST(went_well(xlstm_module_write(k->m, index, x)) || k->packed);
    free(x);
    MUST(xlstm_module_bytes(k->m) > 0 && xlstm_module_core_size(k->m) <= xlstm_module_size(k->m));
    if (one_in(p, 4))
        went_well(xlstm_module_init(k->m, next(p)));
}

/* ---- sessions ---- */

static void create_session(program *p, slot *k) {
    int streams = size_of(p, 4), most = size_of(p, 9);
    xlstm_session_free(k->s);
    k->s = NULL;
    k->streams = streams;
    if (streams > 1000 || most > 1000) /* a plan of such sizes may be refused or found too large; never run */
        streams = INT32_MAX;
    MUST(went_well(xlstm_session_create(&k->s, k->m, streams, most)) == (k->s != NULL));
}

static void run_session(program *p, slot *k) {
    size_t in = (size_t)xlstm_module_input_dim(k->m), out = (size_t)xlstm_module_output_dim(k->m);
    int time = size_of(p, 12), vectors = one_in(p, 6) ? !in : in != 0;
    size_t N = k->s && time > 0 && time < 100 ? (size_t)k->streams * (size_t)time : 0;
    if (time >= 100)
        time = -time;
    xlstm_real *y = room(p, N * out), *x = reals(p, N * in);
    int32_t *t = tokens(p, N, in ? 0 : (int)out);
    if (vectors)
        went_well(xlstm_session_vectors(k->s, one_in(p, 20) ? NULL : x, time, y));
    else
        went_well((one_in(p, 3) ? xlstm_session_prompt : xlstm_session_tokens)(k->s, t, time, y));
    free(x);
    free(y);
    free(t);
}

/* Rows of their own lengths, with new sequences inside. */
static void run_ragged(program *p, slot *k) {
    size_t in = (size_t)xlstm_module_input_dim(k->m), out = (size_t)xlstm_module_output_dim(k->m);
    int time = 1 + (int)(next(p) % 12), padded = one_in(p, 2), cut = one_in(p, 2);
    size_t B = k->s ? (size_t)k->streams : 0, N = B * (size_t)time;
    int32_t *t = tokens(p, N, in ? 0 : (int)out), *lengths = tokens(p, B, time);
    xlstm_real *x = reals(p, N * in), *y = room(p, N * out), *last = room(p, B * out);
    unsigned char *resets = calloc(N + 1, 1);
    MUST(resets);
    resets[N ? next(p) % N : 0] = 1;
    const xlstm_input input = {.struct_size = one_in(p, 20) ? next(p) % sizeof input : sizeof input,
                               .time = time,
                               .tokens = one_in(p, 9) ? NULL : t,
                               .inputs = one_in(p, 9) ? NULL : x,
                               .lengths = padded ? lengths : NULL,
                               .resets = cut ? resets : NULL};
    went_well(xlstm_session_run(k->s, &input, y, last));
    void *mine[] = {t, lengths, x, y, last, resets};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        free(mine[i]);
}

static void move_state(program *p, slot *k) {
    size_t n = xlstm_session_state_size(k->s);
    int from = stream_of(p), to = stream_of(p);
    xlstm_real *state = reals(p, n);
    if (one_in(p, 3) || went_well(xlstm_session_get_state(k->s, from, state)))
        went_well(xlstm_session_set_state(k->s, to, one_in(p, 20) ? NULL : state));
    free(state);
    if (one_in(p, 3))
        went_well(xlstm_session_reset(k->s, stream_of(p)));
}

static void fork_session(slot *k) {
    xlstm_session *s = NULL;
    MUST(went_well(xlstm_session_fork(&s, k->s)) == (s != NULL));
    if (s) {
        xlstm_session_free(k->s);
        k->s = s;
    }
}

static int stop_at(void *user, int32_t token) {
    (void)token;
    return --*(int *)user <= 0;
}

static void generate(program *p, slot *k) {
    xlstm_sampling rule;
    xlstm_sampler *sampler = NULL;
    xlstm_sampling_init(&rule);
    rule.temperature = one_in(p, 3) ? number_of(p) : 1;
    rule.top_k = one_in(p, 3) ? size_of(p, 9) : 0;
    rule.top_p = one_in(p, 3) ? number_of(p) : 1;
    rule.min_p = one_in(p, 3) ? number_of(p) : 0;
    int vocab = one_in(p, 6) ? size_of(p, 9) % 100 : xlstm_module_output_dim(k->m);
    MUST(went_well(xlstm_sampler_create(&sampler, &rule, vocab)) == (sampler != NULL));
    int length = 1 + (int)(next(p) % 5), most = 1 + (int)(next(p) % 5), left = 3, made;
    int32_t *prompt = tokens(p, (size_t)length, xlstm_module_output_dim(k->m)),
            *new = tokens(p, (size_t)most, 0);
    xlstm_generation g = {.struct_size = sizeof g,
                          .prompt = prompt,
                          .prompt_tokens = one_in(p, 9) ? -1 : length,
                          .max_tokens = one_in(p, 9) ? 0 : most,
                          .stops = prompt,
                          .stop_count = (int)(next(p) % 2),
                          .callback = one_in(p, 2) ? stop_at : NULL,
                          .user = &left,
                          .tokens = new};
    went_well(xlstm_generate(k->s, sampler, &g, &made));
    MUST(made >= 0 && made <= most);
    free(prompt);
    free(new);
    xlstm_sampler_free(sampler);
}

/* ---- training ---- */

static void create_trainer(program *p, slot *k) {
    xlstm_trainer_config c;
    xlstm_trainer_config_init(&c);
    c.batch = size_of(p, 4);
    c.time = size_of(p, 9);
    c.carry_state = one_in(p, 3);
    c.gradients = !one_in(p, 4);
    c.dropout = one_in(p, 4) ? number_of(p) : -1;
    c.products = c.gradients && c.carry_state ? (xlstm_products)(next(p) % 3) : XLSTM_PRODUCTS_REAL;
    if (c.batch > 1000 || c.time > 1000)
        c.batch = c.time = INT32_MAX;
    xlstm_trainer_free(k->tr);
    k->tr = NULL;
    k->batch = c.batch;
    k->time = c.time;
    MUST(went_well(xlstm_trainer_create(&k->tr, k->m, &c)) == (k->tr != NULL));
}

static void train(program *p, slot *k) {
    size_t in = (size_t)xlstm_module_input_dim(k->m), out = (size_t)xlstm_module_output_dim(k->m);
    int time = one_in(p, 3) ? size_of(p, 12) : 0, sound = time <= k->time, T = time > 0 ? time : k->time;
    size_t B = k->tr ? (size_t)k->batch : 0, N = B * (size_t)(k->tr && sound && T > 0 ? T : 0);
    int32_t *t = tokens(p, N, in ? 0 : (int)out), *u = tokens(p, N, in ? 0 : (int)out),
            *lengths = tokens(p, B, T);
    xlstm_real *x = reals(p, N * in), *y = reals(p, N * out), *weights = reals(p, N), *each = room(p, N);
    unsigned char *resets = calloc(N + 1, 1);
    if (N)
        resets[next(p) % N] = 1;
    xlstm_batch b = {.struct_size = one_in(p, 20) ? 0 : sizeof b,
                     .time = time,
                     .tokens = one_in(p, 9) ? NULL : t,
                     .targets = one_in(p, 9) ? NULL : u,
                     .inputs = one_in(p, 9) ? NULL : x,
                     .outputs = one_in(p, 9) ? NULL : y,
                     .lengths = one_in(p, 2) ? NULL : lengths,
                     .resets = one_in(p, 2) ? NULL : resets,
                     .weights = one_in(p, 2) ? NULL : weights,
                     .token_loss = each};
    xlstm_loss loss;
    unsigned how = next(p) % 4;
    if (how == 0)
        went_well(xlstm_trainer_evaluate(k->tr, &b, &loss));
    else if (how < 3)
        went_well(xlstm_trainer_backward(k->tr, &b, one_in(p, 4) ? NULL : &loss));
    else if (went_well(xlstm_trainer_forward(k->tr, &b, y)) && one_in(p, 2))
        went_well(xlstm_trainer_backward_from(k->tr, y, one_in(p, 2) ? x : NULL));
    void *mine[] = {t, u, lengths, x, y, weights, each, resets};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        free(mine[i]);
}

/* From the trainer to itself or to the session of another slot, if that has room for as much. */
static void move_carried_state(program *p, slot *k, slot *other) {
    size_t n = xlstm_trainer_state_size(k->tr);
    xlstm_real *state = reals(p, n);
    if (one_in(p, 3) || went_well(xlstm_trainer_get_state(k->tr, stream_of(p), state)))
        went_well(xlstm_trainer_set_state(k->tr, stream_of(p), one_in(p, 20) ? NULL : state));
    if (n && xlstm_session_state_size(other->s) == n)
        went_well(xlstm_session_set_state(other->s, stream_of(p), state));
    free(state);
}

/* Writes gradients back as they were read, or others in their place. */
static void move_gradients(program *p, slot *k) {
    size_t from = (size_t)size_of(p, 400), count = (size_t)size_of(p, 100),
           size = xlstm_module_layout_size(k->m);
    int inside = k->tr && from <= size && count <= size - from;
    xlstm_real *g = reals(p, inside ? count : 0);
    int same = one_in(p, 2) && went_well(xlstm_trainer_read_gradients(k->tr, from, count, g));
    int written =
        went_well(xlstm_trainer_write_gradients(k->tr, from, count, one_in(p, 20) && !same ? NULL : g));
    MUST(same <= written && (same | written) <= inside);
    free(g);
}

/* ---- recurrences ---- */

enum { ARRAYS = 7 }; /* of the mLSTM q k v i f, of the others gates and R; then h and its gradient */

typedef struct {
    xlstm_recurrence_config c;
    xlstm_recurrence *r;
    xlstm_real *x[ARRAYS], *d[ARRAYS];
    xlstm_span span;
} layer;

static void fill_arrays(program *p, layer *l) {
    size_t N = (size_t)l->c.batch * (size_t)l->c.time, H = (size_t)l->c.heads, dv = (size_t)l->c.head_size;
    size_t dk = l->c.key_size ? (size_t)l->c.key_size : dv;
    const size_t mlstm[ARRAYS] = {N * H * dk, N * H * dk, N * H * dv, N * H, N * H, N * H * dv, N * H * dv},
                 rnn[ARRAYS] = {N * H * 4 * dv, H * 4 * dv * dv, 0, 0, 0, N * H * dv, N * H * dv};
    for (int i = 0; i < ARRAYS; i++) {
        size_t n = l->c.kind == XLSTM_CELL_MLSTM ? mlstm[i] : rnn[i];
        l->x[i] = reals(p, n);
        l->d[i] = reals(p, n);
    }
}

static void run_layer(program *p, layer *l) {
    xlstm_real **x = l->x, **d = l->d;
    const xlstm_mlstm_inputs in = {x[0], x[1], x[2], x[3], one_in(p, 20) ? NULL : x[4]};
    const xlstm_mlstm_gradients out = {d[0], d[1], d[2], d[3], d[4]};
    const xlstm_span *span = one_in(p, 3) ? NULL : &l->span;
    int mlstm = one_in(p, 9) ? next(p) % 2 : l->c.kind == XLSTM_CELL_MLSTM;
    went_well(mlstm ? xlstm_mlstm_forward(l->r, span, &in, x[5])
                    : xlstm_rnn_forward(l->r, span, x[0], x[1], x[5]));
    if (!one_in(p, 3))
        went_well(mlstm ? xlstm_mlstm_backward(l->r, &in, x[5], x[6], &out)
                        : xlstm_rnn_backward(l->r, x[1], x[5], x[6], d[0], d[1]));
}

static void use_recurrence(program *p) {
    layer l = {.r = NULL};
    xlstm_recurrence_config_init(&l.c, (xlstm_cell_kind)(next(p) % (XLSTM_CELL_KINDS + 1)));
    l.c.batch = 1 + (int)(next(p) % 3);
    l.c.time = 1 + (int)(next(p) % 9);
    l.c.heads = 1 + (int)(next(p) % 3);
    l.c.head_size = one_in(p, 9) ? size_of(p, 9) : 1 + (int)(next(p) % 9);
    l.c.key_size = one_in(p, 9) ? size_of(p, 9) : (int)(next(p) % 9);
    l.c.chunk_size = size_of(p, 9);
    l.c.gradients = !one_in(p, 4);
    l.c.eps = one_in(p, 4) ? number_of(p) : 0;
    if (l.c.head_size > 64 || l.c.key_size > 64)
        l.c.heads = INT32_MAX; /* would work, and take gigabytes */
    MUST(went_well(xlstm_recurrence_create(&l.r, &l.c)) == (l.r != NULL));
    if (!l.r)
        return;
    size_t B = (size_t)l.c.batch, N = B * (size_t)l.c.time;
    int32_t *lengths = tokens(p, B, l.c.time);
    unsigned char *resets = calloc(N, 1);
    xlstm_real *state = reals(p, B * xlstm_recurrence_state_size(l.r));
    MUST(resets);
    resets[next(p) % N] = 1;
    fill_arrays(p, &l);
    l.span = (xlstm_span){.struct_size = one_in(p, 20) ? next(p) % sizeof l.span : sizeof l.span,
                          .time = one_in(p, 3) ? (int)(next(p) % 12) : 0,
                          .lengths = one_in(p, 2) ? lengths : NULL,
                          .resets = one_in(p, 2) ? resets : NULL,
                          .state_in = one_in(p, 2) ? state : NULL,
                          .state_out = one_in(p, 2) ? state : NULL};
    for (int i = 1 + (int)(next(p) % 3); i > 0; i--)
        run_layer(p, &l);
    for (int i = 0; i < ARRAYS; i++) {
        free(l.x[i]);
        free(l.d[i]);
    }
    free(lengths);
    free(resets);
    free(state);
    xlstm_recurrence_free(l.r);
}

static void use_optimizer(program *p, slot *k, slot *other) {
    double norm;
    if (!k->opt || one_in(p, 6)) {
        xlstm_optimizer_config c;
        xlstm_optimizer_config_init(&c, (xlstm_optimizer_kind)(next(p) % (XLSTM_OPTIMIZER_KINDS + 1)));
        c.beta1 = one_in(p, 6) ? number_of(p) : c.beta1;
        c.eps = one_in(p, 6) ? number_of(p) : c.eps;
        c.clip = one_in(p, 6) ? number_of(p) : c.clip;
        xlstm_optimizer_free(k->opt);
        k->opt = NULL;
        MUST(went_well(xlstm_optimizer_create(&k->opt, k->m, &c)) == (k->opt != NULL));
    }
    int64_t steps = xlstm_optimizer_steps(k->opt);
    slot *of = one_in(p, 9) ? other : k;
    int stepped = went_well(xlstm_optimizer_step(k->opt, of->tr, number_of(p), one_in(p, 2) ? &norm : NULL));
    MUST(xlstm_optimizer_steps(k->opt) == steps + stepped);
    if (one_in(p, 3))
        xlstm_trainer_zero_gradients(of->tr);
    if (one_in(p, 3))
        went_well(xlstm_trainer_reset(of->tr, stream_of(p)));
    xlstm_trainer_memory memory = xlstm_trainer_memory_of(of->tr);
    MUST(memory.tape_used <= memory.tape && memory.temporary_used <= memory.temporary);
}

static void call(program *p) {
    slot *k = &slots[next(p) % SLOTS], *other = &slots[next(p) % SLOTS];
    unsigned which = next(p);
    switch (which < 192 ? which % 12 : which < 252 ? 12 + which % 3 : 15) {
    case 0:
        create_module(p, k);
        break;
    case 1:
        quantize(p, k, other);
        break;
    case 2:
        look_at_module(p, k);
        break;
    case 3:
        create_session(p, k);
        break;
    case 4:
    case 5:
        run_session(p, k);
        break;
    case 6:
        move_state(p, k);
        break;
    case 7:
        one_in(p, 2) ? fork_session(k) : generate(p, k);
        break;
    case 8:
        create_trainer(p, k);
        break;
    case 9:
        train(p, k);
        break;
    case 10:
        use_optimizer(p, k, other);
        break;
    case 12:
        run_ragged(p, k);
        break;
    case 13:
        move_carried_state(p, k, other);
        break;
    case 14:
        use_recurrence(p);
        break;
    case 15:
        move_gradients(p, k);
        break;
    default:
        one_in(p, 3) ? free_slot(k) : (void)went_well(xlstm_set_threads(size_of(p, 3)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    program p = {data, data + size};
    for (int i = 0; i < SLOTS; i++) /* something to begin with */
        create_module(&p, &slots[i]);
    for (int i = 0; i < MOST_CALLS && p.at < p.end; i++)
        call(&p);
    for (int i = 0; i < SLOTS; i++)
        free_slot(&slots[i]);
    xlstm_set_threads(1);
    return 0;
}
