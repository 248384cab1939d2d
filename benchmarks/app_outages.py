"""What outages cost the users of an app: requests that failed, one outage at a time, under a steady load.

`python -m benchmarks.app_outages` runs one server and two agents on this machine, an app of two replicas, and a load
that never waits for an answer before it sends the next request; it prints one row an outage. The server, the agents,
the app and the load share the machine's cores.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.machine import facts
from tests.acceptance.network import Network, a_network_with
from tests.acceptance.outages import NAME, OUTAGES, two_replicas

AROUND_SECONDS = 3.0
"""How long the load is counted before an outage begins; and again after everything is as it was."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--rounds", type=int, default=1, help="times each outage happens, each round on a new network")
    arguments = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in facts().items()))
    print(f"{arguments.rate:g} requests/s, one of four over a connection of its own\n")
    print("| outage | seconds until whole | requests | failed | in 1,000 | p99 ms | slowest ms |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory(prefix="anchor-outages-") as directory:
            _round(Path(directory), arguments.rate)


def _round(directory: Path, rate: float) -> None:
    with a_network_with(directory, nodes=2) as network:
        two_replicas(network)
        with network.load(NAME, rate=rate) as load:
            for name, outage in {"nothing": _nothing, **OUTAGES}.items():
                begun = time.monotonic()
                counts = load.during(partial(outage, network), before=AROUND_SECONDS, after=AROUND_SECONDS)
                seconds = time.monotonic() - begun - 2 * AROUND_SECONDS
                failed, slow = len(counts.failed), 1000 * counts.percentile(1)
                print(
                    f"| {name} | {seconds:.1f} | {len(counts.answers):,} | {failed} | {counts.a_thousand:.2f} "
                    f"| {1000 * counts.percentile(0.99):.0f} | {slow:.0f} |",
                    flush=True,
                )
                if failed:
                    print(f"  {counts.said()}", flush=True)


def _nothing(network: Network) -> None:
    network.app(NAME)


if __name__ == "__main__":
    main()
