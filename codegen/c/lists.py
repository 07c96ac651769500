"""The C functions of lists of synapses: sorted by target, or drawn by the generator of graphc.ir.drawn."""

LISTS = {
    "_by_target": """\
struct _list {  // of delay q and neuron n: first[q*neurons + n] to the next, each with its other end and weight
    int32_t *first, *other;
    real *weight;
};

static struct _list _by_target(
    const int32_t *rows, const int32_t *post, const real *w, int64_t delays, int64_t pre, int64_t targets) {
    const int64_t all = delays*targets;
    struct _list list = {_take((size_t)(all + 2)*4), _take((size_t)(rows[delays*pre] + 1)*4), 0};
    list.weight = _take((size_t)(rows[delays*pre] + 1)*sizeof(real));
    int32_t *first = list.first;
    __builtin_memset(first, 0, (size_t)(all + 2)*4);
    for (int64_t q = 0; q < delays; q++)
        for (int64_t s = rows[q*pre]; s < rows[(q + 1)*pre]; s++) first[q*targets + post[s] + 2]++;
    for (int64_t n = 2; n < all + 2; n++) first[n] += first[n - 1];
    for (int64_t q = 0; q < delays; q++)
        for (int64_t i = 0; i < pre; i++)
            for (int64_t s = rows[q*pre + i]; s < rows[q*pre + i + 1]; s++) {
                const int64_t to = first[q*targets + post[s] + 1]++;
                list.other[to] = (int32_t)i, list.weight[to] = w[s];
            }
    return list;
}
""",
    "_gap": """\
#define _GOLDEN 0x9E3779B97F4A7C15ull
extern double log(double);

static inline uint64_t _mix(uint64_t z) {  // SplitMix64
    z = (z ^ (z >> 30))*0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27))*0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// From one target to the next, where every pair is a synapse with one probability: a geometric number.
static inline double _gap(uint64_t state, double scale) {
    return 1 + __builtin_floor(log(((double)(_mix(state) >> 11) + 0.5)*0x1p-53)*scale);
}
""",
}
