"""Counts the primes below the input (1,000,000 unless given) by a sieve."""


def main(below: int | None) -> dict[str, int]:
    """How many primes there are, and the largest."""
    below = below or 1_000_000
    prime = bytearray([0, 0]) + bytearray([1]) * (below - 2)
    for n in range(2, int(below**0.5) + 1):
        if prime[n]:
            prime[n * n :: n] = bytes(len(range(n * n, below, n)))
    count = prime.count(1)
    print(f"{count} primes below {below}")
    return {"below": below, "count": count, "largest": prime.rfind(1)}
