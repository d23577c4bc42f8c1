// A user's program in C++17: the drop-in for nn.LSTM as a resource, stepped and run at once.
#include "../../../examples/programs/compare.h"
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <vector>
#include <xlstm.h>

struct Free {
    void operator()(xlstm_module *m) const {
        xlstm_module_free(m);
    }
    void operator()(xlstm_session *s) const {
        xlstm_session_free(s);
    }
};
using Module = std::unique_ptr<xlstm_module, Free>;
using Session = std::unique_ptr<xlstm_session, Free>;

static Module make_cell(xlstm_cell_kind kind) {
    xlstm_cell_config config;
    xlstm_module *module = nullptr;
    xlstm_cell_config_init(&config, kind);
    config.input_size = 3;
    config.hidden_size = 8;
    if (xlstm_cell_create(&module, &config, 7) != XLSTM_OK)
        std::fprintf(stderr, "%s\n", xlstm_last_error());
    return Module(module);
}

static double difference(const Module &cell) {
    constexpr int time = 6, in = 3, out = 8;
    std::vector<xlstm_real> x, all(time * out), one(out);
    for (int i = 0; i < time * in; i++)
        x.push_back(static_cast<xlstm_real>(std::sin(i)));
    xlstm_session *raw = nullptr;
    if (xlstm_session_create(&raw, cell.get(), 1, 0) != XLSTM_OK)
        return 1;
    Session session(raw);
    xlstm_session_vectors(session.get(), x.data(), time, all.data());
    xlstm_session_reset(session.get(), -1);
    comparison seen{};
    for (int t = 0; t < time; t++) {
        xlstm_session_vectors(session.get(), &x[std::size_t(t * in)], 1, one.data());
        for (int i = 0; i < out; i++)
            see(&seen, double(all[std::size_t(t * out + i)]), double(one[std::size_t(i)]));
    }
    return seen.size > 1e-3 ? seen.error : 1; // outputs that are all zero prove nothing
}

int main() {
    comparison worst{};
    for (int kind = 0; kind < XLSTM_CELL_KINDS; kind++) {
        Module cell = make_cell(static_cast<xlstm_cell_kind>(kind));
        see(&worst, cell ? difference(cell) : 1, 0);
    }
    std::printf("libxlstm %s from C++: difference %.1e\n", xlstm_version(), worst.error);
    return agrees(&worst, 1e-5) ? 0 : 1;
}
