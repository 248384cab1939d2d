// The primes below a number, counted by trial division (`trial`) or by a sieve (`sieve`); prints the count and the
// milliseconds it took each time: primes trial|sieve BELOW TIMES
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int trial(int below) {
  int count = below > 2;
  for (int n = 3; n < below; n += 2) {
    int prime = 1;
    for (int d = 3; d * d <= n; d += 2) {
      if (n % d == 0) {
        prime = 0;
        break;
      }
    }
    count += prime;
  }
  return count;
}

static int sieve(int below) {
  unsigned char *composite = calloc(below, 1);
  int count = 0;
  for (int n = 2; n < below; n++) {
    if (composite[n]) continue;
    count++;
    for (long multiple = (long)n * n; multiple < below; multiple += n) composite[multiple] = 1;
  }
  free(composite);
  return count;
}

int main(int argc, char **argv) {
  struct timespec begun, ended;
  int below = atoi(argv[2]);
  clock_gettime(CLOCK_MONOTONIC, &begun);
  int times = atoi(argv[3]), count = 0;
  for (int time = 0; time < times; time++) count = strcmp(argv[1], "sieve") == 0 ? sieve(below) : trial(below);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  printf("%d %.4f\n", count, ((ended.tv_sec - begun.tv_sec) * 1e3 + (ended.tv_nsec - begun.tv_nsec) / 1e6) / times);
}
