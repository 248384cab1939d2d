"""Calls a function on other machines, once and twenty times.

anchor up                      # in another terminal
python examples/sdk/squares.py
"""

import anchor


def square(number: int) -> int:
    return number * number


with anchor.Client() as client:
    print(client.submit(square, 7).result())

    futures = client.map(square, range(20))
    print(sum(client.gather(futures)))

    first = next(iter(client.as_completed(futures)))
    print(first.done())
