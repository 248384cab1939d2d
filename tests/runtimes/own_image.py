"""A Podman that runs containers of an image made from this machine's own programs, where there is one that works."""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE = "localhost/anchor-test:1"
PROGRAMS = ("sh", "cat", "id", "sleep", "head", "touch", "ls", "env", "grep", "awk")


def image_of_own_programs(folder: Path) -> Path:
    """A tar of a few programs of this machine and the libraries they need."""
    wanted = {}
    for program in PROGRAMS:
        path = shutil.which(program)
        assert path is not None
        wanted[f"bin/{program}"] = os.path.realpath(path)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            wanted[library.lstrip("/")] = os.path.realpath(library)
    tar = folder / "image.tar"
    with tarfile.open(tar, "w") as archive:
        for name, path in wanted.items():
            archive.add(path, name)
        for name in ("tmp", "job", "etc", "dev", "proc", "sys"):
            empty = tarfile.TarInfo(name)
            empty.type, empty.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(empty)
    return tar


@contextmanager
def podman_with_image(folder: Path) -> Iterator[str]:
    """Its path, while its stores are in a folder of their own and the image is in them; skips where there is none."""
    path = shutil.which("podman")
    if path is None:
        pytest.skip("podman is not installed")
    store = f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        said = "no runtime"
        for runtime in ("crun", "runc"):
            (folder / "containers.conf").write_text(f'[engine]\nruntime = "{runtime}"\n')
            if subprocess.run([path, "image", "exists", IMAGE], capture_output=True, check=False).returncode:
                brought = subprocess.run(
                    [path, "import", image_of_own_programs(folder), IMAGE], capture_output=True, text=True, check=False
                )
                if brought.returncode:
                    pytest.skip(f"podman does not work here: {brought.stderr.strip()[-200:]}")
            limits = ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
            tried = subprocess.run(
                [path, "run", "--rm", *limits, "--memory", "64m", IMAGE, "id"],
                capture_output=True,
                text=True,
                check=False,
            )
            if tried.returncode == 0:
                yield path
                subprocess.run([path, "rm", "--all", "--force"], capture_output=True, check=False)
                return
            said = tried.stderr.strip()[-200:]
    pytest.skip(f"podman cannot run a container here: {said}")
