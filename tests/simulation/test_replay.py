"""A seed is a run: the same one again gives the same trace, byte for byte, in this process and in any other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from anchorsim.cluster import first_failure, run_seed
from anchorsim.planted import BUGS

SOAK = Path(__file__).with_name("soak.py")


def _fingerprint_elsewhere(seed: int, hash_seed: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(SOAK), "--seed", str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout.partition("trace ")[2].partition("\n")[0]


@pytest.mark.parametrize("seed", [3, 41, 105])
def test_a_seed_replays_byte_for_byte(seed: int) -> None:
    assert run_seed(seed).fingerprint == run_seed(seed).fingerprint


def test_a_seed_replays_byte_for_byte_in_another_process_with_other_hashes() -> None:
    here = run_seed(9).fingerprint
    assert _fingerprint_elsewhere(9, "1") == here
    assert _fingerprint_elsewhere(9, "2") == here


def test_two_seeds_are_two_runs() -> None:
    assert run_seed(1).fingerprint != run_seed(2).fingerprint


def test_a_failure_names_its_seed_its_invariant_and_the_last_fifty_events() -> None:
    [bug] = [bug for bug in BUGS if bug.name == "lease to a drained node"]
    with bug.planted():
        failure = first_failure(range(8, 150), bug.wiring)  # an earlier one fails before it has so many events
        assert failure is not None
        again = first_failure([failure.seed], bug.wiring)
    lines = str(failure).splitlines()
    assert lines[0].startswith(f"seed {failure.seed}: invariant 13: ")
    assert len(lines) == 52
    assert str(again) == str(failure)
