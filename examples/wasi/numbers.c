// Functions to call by name: payload.function is one of them, payload.args are its numbers.
//
// `numbers.wasm` beside this file was built from it with Debian's clang and lld, and needs no library at all:
//   clang --target=wasm32 -nostdlib -O2 -s -Wl,--no-entry -o numbers.wasm numbers.c
#define EXPORT(name) __attribute__((export_name(name)))

EXPORT("gcd") long long gcd(long long a, long long b) {
    while (b != 0) {
        long long rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

// The distance of two points on a sphere of radius 1, as the length of the straight line through it.
EXPORT("chord") double chord(double x1, double y1, double z1, double x2, double y2, double z2) {
    double dx = x1 - x2, dy = y1 - y2, dz = z1 - z2;
    return __builtin_sqrt(dx * dx + dy * dy + dz * dz);
}
