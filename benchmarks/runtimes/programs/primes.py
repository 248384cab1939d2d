"""The primes below a number, counted by trial division or by a sieve; the same source in CPython and in the sandbox."""

import time


def trial(below: int) -> int:
    """Count by trial division."""
    count = 1 if below > 2 else 0
    for n in range(3, below, 2):
        d = 3
        while d * d <= n:
            if n % d == 0:
                break
            d += 2
        else:
            count += 1
    return count


def sieve(below: int) -> int:
    """Count by a sieve, one item at a time: it is the interpreter that is measured."""
    composite = bytearray(below)
    count = 0
    for n in range(2, below):
        if composite[n]:
            continue
        count += 1
        for multiple in range(n * n, below, n):
            composite[multiple] = 1
    return count


def main(wanted: dict) -> list[float]:
    """[count, milliseconds each time] for {how, below, times}."""
    begun = time.perf_counter()
    for _ in range(wanted["times"]):
        count = (sieve if wanted["how"] == "sieve" else trial)(wanted["below"])
    return [count, (time.perf_counter() - begun) * 1000 / wanted["times"]]
