"""What a machine says of itself."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from anchor.agent.host import graphics_cards, has_docker, measure_metrics, measure_profile


def test_a_profile_holds_the_real_specs() -> None:
    profile = measure_profile(["lab", "fast"], Path.cwd())
    assert profile.labels == ("lab", "fast")
    assert profile.cores == psutil.cpu_count()
    assert profile.ram == pytest.approx(psutil.virtual_memory().total / 1024**3, abs=0.1)
    assert profile.disk > 0
    assert profile.host == socket.gethostname()
    assert profile.os
    assert profile.cpu
    assert profile.arch
    assert profile.version
    assert profile.runtimes == {}


def test_metrics_are_in_per_cent_seconds_and_gib() -> None:
    measure_metrics(Path.cwd())
    metrics = measure_metrics(Path.cwd())
    assert 0 <= metrics.cpu_usage <= 100
    assert 0 < metrics.ram_usage <= 100
    assert 0 < metrics.free_ram <= psutil.virtual_memory().total / 1024**3
    assert metrics.free_disk >= 0
    assert metrics.uptime == pytest.approx(time.time() - psutil.boot_time(), abs=5)


def test_graphics_cards_are_named_and_their_outputs_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "drivers" / "amdgpu").mkdir(parents=True)
    for name, vendor in (("card0", "0x1002\n"), ("card1", "0x1234\n"), ("card0-HDMI-A-1", "0x1002\n")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "vendor").write_text(vendor)
        (tmp_path / name / "device" / "driver").symlink_to(tmp_path / "drivers" / "amdgpu")
    assert graphics_cards(tmp_path) == ("AMD (amdgpu)",)
    assert graphics_cards(tmp_path / "absent") == ()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_a_docker_socket_counts_only_if_something_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.path.exists("/var/run/docker.sock"):
        pytest.skip("this machine has a Docker socket")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    place = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    assert not has_docker()
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(place))
        engine.listen()
        assert has_docker()
    assert not has_docker()


def test_a_docker_host_that_never_answers_costs_less_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    began = time.monotonic()
    assert not has_docker()
    assert time.monotonic() - began < 1
