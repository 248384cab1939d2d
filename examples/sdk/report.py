"""A graph of four steps: two lists are made side by side, each is summed up, and the sums are compared."""

import anchor


def numbers(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


def total(of: list[int]) -> int:
    return sum(of)


def compare(first: int, second: int) -> str:
    return f"{first} {'<' if first < second else '>='} {second}"


graph = anchor.Graph("report")
low = graph.step(numbers, 0, 10, id="low")
high = graph.step(numbers, 100, 10, id="high")
graph.step(compare, graph.step(total, low), graph.step(total, high), id="report")

with anchor.Client() as client:
    print(client.run_graph(graph).result()["report"])
