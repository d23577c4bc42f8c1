/* official: a checkpoint of the official xlstm package or of Hugging Face, from disk to probabilities.
 *
 *     official MODEL_DIR
 *
 * New here: xlstm_module_load() (config.json and safetensors of the paper's family, xLSTM-7B and Hugging
 * Face), the configuration and the named parameters of a module, matrices kept in 8 bits, a tokenizer if the
 * directory has one. To continue texts with a model there is the program xlstm-generate. */
#include "programs/compare.h"
#include "programs/program.h"
#include <math.h>

static void describe(const xlstm_module *model) {
    const xlstm_config *config = xlstm_module_config(model);
    printf("%d blocks of width %d, vocabulary %d, %zu numbers in %d parameters, %zu bytes\n",
           config->num_blocks, config->embedding_dim, config->vocab_size, xlstm_module_size(model),
           xlstm_module_parameter_count(model), xlstm_module_bytes(model));
    for (int i = 0; i < config->num_blocks; i++)
        printf("  block %d: %s\n", i, xlstm_block_kind_name((xlstm_block_kind)config->block_kind[i]));
    for (int i = 0; i < xlstm_module_parameter_count(model) && i < 8; i++) {
        xlstm_parameter p;
        check(xlstm_module_parameter(model, i, &p));
        printf("  %-64s [", p.name);
        for (int k = 0; k < p.ndim; k++)
            printf("%s%lld", k ? ", " : "", (long long)p.shape[k]);
        printf("]%s\n", p.decay ? "  decays" : "");
    }
    printf("  ...\n");
}

/* Logits after tokens 1, 2, 3, ... */
static void run(const xlstm_module *model, int tokens, xlstm_real *logits) {
    xlstm_session *session;
    int32_t *text = need((size_t)tokens * sizeof *text);
    for (int t = 0; t < tokens; t++)
        text[t] = (t + 1) % xlstm_module_output_dim(model);
    check(xlstm_session_create(&session, model, 1, 0));
    check(xlstm_session_prompt(session, text, tokens, logits));
    xlstm_session_free(session);
    free(text);
}

static void print_likeliest(const xlstm_real *logits, int vocabulary, const xlstm_tokenizer *words) {
    double total = 0, top = -INFINITY;
    int best = 0;
    for (int i = 0; i < vocabulary; i++)
        if ((double)logits[i] > top)
            top = (double)logits[best = i];
    for (int i = 0; i < vocabulary; i++)
        total += exp((double)logits[i] - top);
    printf("likeliest next token: %d, probability %.3f", best, 1 / total);
    const char *text;
    size_t bytes;
    if (words && xlstm_tokenizer_piece(words, best, &text, &bytes) == XLSTM_OK)
        printf(", \"%.*s\"", (int)bytes, text);
    printf("\n");
}

int main(int argc, char **argv) {
    program_begin();
    xlstm_module *model, *small;
    xlstm_tokenizer *words = NULL;
    if (argc != 2)
        die("give a directory with config.json and safetensors, as the official package or Hugging Face "
            "saved them");
    check(xlstm_module_load(&model, argv[1]));
    if (!xlstm_module_config(model)->vocab_size)
        die("%s is a model over vectors; this example reads tokens", argv[1]);
    if (xlstm_tokenizer_load(&words, argv[1]) != XLSTM_OK)
        printf("(no tokenizer: %s)\n", xlstm_last_error());
    describe(model);

    int vocabulary = xlstm_module_output_dim(model);
    xlstm_real *exact = need((size_t)vocabulary * sizeof *exact),
               *rounded = need((size_t)vocabulary * sizeof *rounded);
    run(model, 8, exact);
    print_likeliest(exact, vocabulary, words);

    check(xlstm_module_quantize(&small, model, XLSTM_WEIGHTS_INT8));
    run(small, 8, rounded);
    comparison both = compare_numbers(rounded, exact, (size_t)vocabulary);
    printf("with 8-bit matrices: %zu bytes, logits differ by at most %.1f %% of the largest\n",
           xlstm_module_bytes(small), 100 * both.error / both.size);
    free(exact);
    free(rounded);
    xlstm_module_free(small);
    xlstm_module_free(model);
    xlstm_tokenizer_free(words);
    return agrees(&both, both.size) ? 0 : 1;
}
