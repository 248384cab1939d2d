"""The command line of a container: everything is taken away from it that is not asked for."""

import itertools
from pathlib import Path

import pytest

from anchor.agent.runtimes.container.engine import Container, Engine, find, run_line, trouble
from anchor.agent.runtimes.container.runtime import offer

CONTAINER = Container(
    name="anchor-1",
    label="label",
    image="alpine:3",
    command=["echo", "--privileged"],
    directory=Path("/agent/jobs/1"),
    variables=Path("/agent/variables"),
    memory_mib=64,
    timeout_seconds=2.5,
    network=False,
    has_stdin=False,
)


@pytest.mark.parametrize("kind", ["podman", "docker"])
def test_a_container_gets_no_rights_and_no_network_and_its_words_are_behind_the_options(kind: str) -> None:
    line = run_line(Engine(kind, f"/usr/bin/{kind}", "5"), CONTAINER)  # type: ignore[arg-type]
    options, words = line[: line.index("--")], line[line.index("--") :]
    assert words == ["--", "alpine:3", "echo", "--privileged"]
    pairs = set(itertools.pairwise(options))
    for pair in (
        ("--network", "none"),
        ("--cap-drop", "all"),
        ("--security-opt", "no-new-privileges"),
        ("--memory", "64m"),
        ("--memory-swap", "64m"),
        ("--pull", "never"),
        ("--volume", "/agent/jobs/1:/job"),
    ):
        assert pair in pairs
    assert "--read-only" in options
    assert options[options.index("--user") + 1].split(":")[0] != "0"


def test_an_owner_s_network_is_given_only_on_request() -> None:
    open_ = Container(**{name: getattr(CONTAINER, name) for name in CONTAINER.__struct_fields__} | {"network": True})
    assert "--network" not in run_line(Engine("docker", "/usr/bin/docker", "5"), open_)


def test_a_machine_without_an_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert offer() == (None, "neither podman nor docker is installed; install one of them if you want containers")


def test_an_engine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, source in (
        ("docker", "echo is the daemon running? >&2; exit 1"),
        ("podman", 'echo "[\\"cpu\\"] false 5"'),
    ):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{source}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    why = find()
    assert why == (
        "podman cannot limit memory and pids here; it needs control groups delegated to its user; "
        "docker does not answer (is the daemon running?)"
    )


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'Error: no such program' >&2; exit 127", ""),
        (
            "echo warning >&2; echo 'Error: OCI runtime error: no' >&2; exit 126",
            "a container here: OCI runtime error: no",
        ),
        ("exit 125", "a container here: no message"),
    ],
)
def test_an_engine_that_cannot_start_an_empty_container_is_not_offered(script: str, says: str, tmp_path: Path) -> None:
    podman = tmp_path / "podman"
    podman.write_text(f"#!/bin/sh\n{script}\n")
    podman.chmod(0o755)
    told = trouble(Engine("podman", str(podman), "5"))
    assert told == (f"podman cannot run {says}" if says else "")
