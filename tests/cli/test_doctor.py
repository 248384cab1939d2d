"""`anchor doctor` names what keeps tasks from being confined, and the commands that change it."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.cli.command import Cli

from anchor.agent.sandbox.confinement import Confinement
from anchor.cli.remedies import Machine, for_native, for_workers, look

NO_BUBBLEWRAP = Confinement("process", "bubblewrap is not installed", fix="Install the package bubblewrap.")
REFUSED = Confinement(
    "process", "bubblewrap does not work here (setting up uid map: Permission denied)", "/usr/bin/bwrap"
)


def a_machine(root: Path, release: str, **switches: int) -> Path:
    """A root directory with the files that `look` reads."""
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text(release)
    for name, value in {"kernel/seccomp/actions_avail": 0, **switches}.items():
        file = root / "proc/sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return root


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\n", "sudo apt install bubblewrap"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "sudo apt install bubblewrap"),
        ("ID=fedora\n", "sudo dnf install bubblewrap"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install bubblewrap"),
        ("ID=plan9\n", "with your package manager, the package bubblewrap"),
    ],
)
def test_bubblewrap_is_installed_as_the_distribution_does_it(tmp_path: Path, release: str, command: str) -> None:
    first, *_, last = for_native(NO_BUBBLEWRAP, look(a_machine(tmp_path, release)))
    assert first == f"Install bubblewrap: {command}"
    assert "--allow-unconfined" in last


@pytest.mark.parametrize(
    ("switch", "value", "says"),
    [
        ("kernel/unprivileged_userns_clone", 0, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", 0, "sudo sysctl -w user.max_user_namespaces=15000"),
        ("kernel/apparmor_restrict_unprivileged_userns", 1, "/etc/apparmor.d/bwrap"),
    ],
)
def test_a_switch_that_keeps_user_namespaces_away_is_named_with_its_command(
    tmp_path: Path, switch: str, value: int, says: str
) -> None:
    machine = look(a_machine(tmp_path, "ID=debian\n", **{switch: value}))
    as_user = Machine(machine.families, machine.switches)
    assert says in for_native(REFUSED, as_user)[0]
    assert says in for_workers(as_user)[0]
    other_way = Machine(machine.families, dict.fromkeys(machine.switches, 1 - value))
    assert not any(says in step for step in for_native(REFUSED, other_way))


def test_root_without_a_control_group_is_sent_to_an_ordinary_user() -> None:
    unbounded = Confinement("process", "as root nothing bounds a task's processes", "/usr/bin/bwrap")
    assert "useradd" in for_native(unbounded, Machine(is_root=True))[0]
    assert not any("useradd" in step for step in for_native(unbounded, Machine(is_root=False)))


def test_a_kernel_without_landlock_or_filters_is_told_apart() -> None:
    assert "Landlock" in for_workers(Machine(confines_files=False))[0]
    assert "CONFIG_SECCOMP_FILTER" in for_workers(Machine(filters_calls=False))[0]
    assert "CONFIG_SECCOMP_FILTER" in for_native(REFUSED, Machine(filters_calls=False))[0]
    assert for_workers(Machine()) == []


def test_where_nothing_is_missing_but_the_kernels_bound_on_memory_that_alone_is_told() -> None:
    held = Confinement(
        "confined", "", "/usr/bin/bwrap", cgroup={"pids": "/sys/fs/cgroup/x", "memory": "/sys/fs/cgroup/x"}
    )
    assert for_native(held, Machine()) == []
    [step] = for_native(Confinement("confined", "", "/usr/bin/bwrap"), Machine())
    assert "Delegate=yes" in step


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")
def test_without_bubblewrap_native_is_missing_and_the_doctor_says_how_to_get_it(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "true", "cat"):
        (programs / name).symlink_to(shutil.which(name) or "/nowhere")
    done = Cli(tmp_path, "http://127.0.0.1:1")("doctor", "-o", "json", PATH=str(programs), ANCHOR_RUNTIMES="native")
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert found["Runtime native"]["verdict"] == "warning"
    assert "bubblewrap is not installed" in found["Runtime native"]["found"]
    assert found["Apps"]["verdict"] == "warning"
    assert found["Apps"]["found"].startswith("none are hosted here: bubblewrap is not installed")
    assert found["Apps"]["hint"] == "See Runtime native."
    assert "Install bubblewrap: " in found["Runtime native"]["hint"]
    assert found["Runtime isolate"]["found"] == "its owner does not offer it (setting: runtimes)"
    assert "neither network nor GPU" in found["Tasks get"]["found"]


def test_the_doctor_says_of_each_runtime_how_well_it_is_held(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = Cli(tmp_path, "http://127.0.0.1:1")(
        "doctor",
        "-o",
        "json",
        ANCHOR_ALLOW_UNCONFINED="true",
        ANCHOR_ALLOW_NETWORK="true",
        ANCHOR_ALLOW_APPS="false",
        ANCHOR_CPUS="1",
        TMPDIR=str(scratch),
    )
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert found["Tasks get"]["found"].startswith("1 core")
    assert found["Tasks get"]["found"].endswith("network for those that ask")
    for name in ("isolate", "wasm", "native"):
        assert any(
            words in found[f"Runtime {name}"]["found"]
            for words in ("confined, as a self-test showed", "held by its engine alone (", "not confined (")
        )
    assert "its owner does not let them" in found["Apps"]["found"]
    assert list(scratch.iterdir()) == []
