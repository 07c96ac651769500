"""The C functions that draw the targets of a neuron: the generator of graphc.ir.drawn."""

DRAWN = {
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
