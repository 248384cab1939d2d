"""Which interpreters are used, what installers are told, and which dependencies are understood."""

import os
from pathlib import Path

import pytest

from anchor.agent.runtimes.native.environments import npm_dependencies, pip_dependencies
from anchor.agent.runtimes.native.installer import CannotInstall, explanation
from anchor.agent.runtimes.native.toolchains import installer_environment, node_on_path, pip_settings, uv_environment


def fake_node(folder: Path, version: str, *, with_npm: bool) -> str:
    program = folder / "bin" / "node"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho \'["{program}","{version}"]\'\n')
    program.chmod(0o755)
    if with_npm:
        npm = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        npm.parent.mkdir(parents=True)
        npm.touch()
    return str(program.parent)


def test_node_is_taken_from_path_with_its_own_npm(tmp_path: Path) -> None:
    found = node_on_path(fake_node(tmp_path, "20.1.0", with_npm=True))
    assert found is not None
    assert found.version == "20.1.0"
    assert found.npm == tmp_path / "lib/node_modules/npm/bin/npm-cli.js"


@pytest.mark.parametrize(("version", "with_npm"), [("18.20.0", True), ("22.0.0", False)])
def test_a_node_too_old_or_without_npm_is_not_used(tmp_path: Path, version: str, with_npm: bool) -> None:
    assert node_on_path(fake_node(tmp_path, version, with_npm=with_npm)) is None


def test_no_node_is_no_error(tmp_path: Path) -> None:
    assert node_on_path(str(tmp_path)) is None


def test_installers_get_the_users_settings_and_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCHOR_TOKEN", "s3cret")
    monkeypatch.setenv("npm_config_registry", "https://npm.example/")
    environment = installer_environment()
    assert environment["npm_config_registry"] == "https://npm.example/"
    assert "ANCHOR_TOKEN" not in environment


def test_uv_is_told_the_index_that_pip_is_configured_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://one.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert uv_environment()["UV_DEFAULT_INDEX"] == "https://one.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://two.example/simple")
    assert uv_environment()["UV_DEFAULT_INDEX"] == "https://two.example/simple"
    monkeypatch.setenv("UV_INDEX_URL", "https://three.example/simple")
    assert "UV_DEFAULT_INDEX" not in uv_environment()


def test_pip_settings_survive_a_file_that_is_not_one(tmp_path: Path) -> None:
    broken = tmp_path / "pip.conf"
    broken.write_bytes(b"no section\n\xff")
    settings = pip_settings({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(broken), "PIP_INDEX_URL": "x"})
    assert settings["index-url"] == "x"


def test_npm_dependencies_are_names_with_versions() -> None:
    found = npm_dependencies(["lodash", "left-pad@1.3.0", "@scope/x@^1", "react@>=16 <18 || 19.x"])
    assert found == {"lodash": "latest", "left-pad": "1.3.0", "@scope/x": "^1", "react": ">=16 <18 || 19.x"}


@pytest.mark.parametrize(
    "text",
    ["../x", "user/repo", "x@file:../y", "x@../y", "x@./y", "x@.", "x@a.tgz", "x@npm:y", "x@", "-g x", "@a"],
)
def test_what_is_no_registry_package_of_npm_is_refused(text: str) -> None:
    with pytest.raises(CannotInstall, match="not an npm package"):
        npm_dependencies([text])


def test_one_package_in_two_versions_is_refused() -> None:
    with pytest.raises(CannotInstall, match="name it once"):
        npm_dependencies(["x@1", "x@2"])


def test_pip_dependencies_are_requirements_or_name_at_version() -> None:
    found = pip_dependencies(["numpy", "requests@2.31", "x[a,b]>=1, <2", "y~=1.0", "numpy"])
    assert found == ["numpy", "requests==2.31", "x[a,b]>=1, <2", "y~=1.0"]


@pytest.mark.parametrize("text", ["./x", "x @ /etc/x", "x @ file", "-r y", "--index-url", "git+x", "x;y", "a b", ""])
def test_what_is_no_index_package_of_python_is_refused(text: str) -> None:
    with pytest.raises(CannotInstall, match="not a Python package"):
        pip_dependencies([text])


def test_an_explanation_is_the_reason_without_the_boilerplate() -> None:
    npm = "npm error code E404\nnpm error 404 Not Found - GET https://r.example/x\nnpm error 404  'x' is not in it.\n"
    assert explanation(npm + "npm error A complete log of this run can be found in: /h/x.log\n") == "'x' is not in it."
    uv = "  \u00d7 No solution found:\n  ╰─▶ Because x was not found.\nhint: try harder\n"
    assert explanation(uv) == "No solution found:\nBecause x was not found."


def test_an_explanation_keeps_the_conflict_and_both_ends_of_a_long_one() -> None:
    npm = "npm error ERESOLVE unable to resolve dependency tree\nnpm error\n"
    npm += "npm error While resolving: undefined@undefined\n"
    npm += "npm error Found: a@1\nnpm error node_modules/a\nnpm error Could not resolve dependency:\n"
    npm += 'npm error peer a@"^2" from b@2\nnpm error Fix the upstream dependency conflict, or not\n'
    told = 'unable to resolve dependency tree\nFound: a@1\nCould not resolve dependency:\npeer a@"^2" from b@2'
    assert explanation(npm) == told
    lines = explanation("".join(f"because of {number}\n" for number in range(50))).splitlines()
    assert (lines[0], lines[8], lines[-1]) == ("because of 0", "…", "because of 49")
