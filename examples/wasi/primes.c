// Counts the primes below N, by a sieve. N is the first argument, or else a number on standard input.
//
//   primes 1000000   ->   {"below": 1000000, "count": 78498, "largest": 999983}
//
// `primes.wasm` beside this file was built from it with Debian's clang, lld and wasi-libc:
//   clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o primes.wasm primes.c
#include <stdio.h>
#include <stdlib.h>

#define LIMIT 100000000L

int main(int argc, char **argv) {
    char line[32] = "";
    const char *text = argc > 1 ? argv[1] : fgets(line, sizeof line, stdin);
    char *end = NULL;
    long below = text ? strtol(text, &end, 10) : 0;
    if (text == NULL || end == text || (*end != '\0' && *end != '\n') || below < 0 || below > LIMIT) {
        fprintf(stderr, "give a whole number from 0 to %ld, as an argument or on standard input\n", LIMIT);
        return 2;
    }
    char *composite = calloc(below + 2, 1);
    if (composite == NULL) {
        fprintf(stderr, "there is not enough memory to sieve %ld numbers\n", below);
        return 3;
    }
    long count = 0, largest = 0;
    for (long n = 2; n < below; n++) {
        if (composite[n]) continue;
        count++;
        largest = n;
        for (long long multiple = (long long)n * n; multiple < below; multiple += n) composite[multiple] = 1;
    }
    printf("{\"below\": %ld, \"count\": %ld, \"largest\": %ld}\n", below, count, largest);
    free(composite);
    return 0;
}
