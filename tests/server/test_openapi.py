"""The API describes itself: validly, completely, offline, and in a way that holds against whatever fits it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from served import Served

from anchor.server.app import ROUTES

ASSETS = ("/api/docs", "/api/docs/api.js", "/api/docs/api.css")


@pytest.fixture(scope="module")
def document(server: Served) -> dict[str, Any]:
    described: dict[str, Any] = server.client.get("/api/openapi.json").json()
    return described


def test_the_description_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_described(document: dict[str, Any], route: Any) -> None:
    operation = document["paths"][route.path][route.method.lower()]
    assert operation["summary"] == route.summary
    assert operation["x-roles"] == [str(role) for role in route.roles]
    assert bool(operation["security"]) == bool(route.roles)
    assert set(operation["responses"]) == {str(route.status), "default"}
    assert "application/problem+json" in operation["responses"]["default"]["content"]
    named = {parameter["name"] for parameter in operation["parameters"]}
    assert set(re.findall(r"\{(\w+)\}", route.path)) <= named
    assert ("Idempotency-Key" in named) == (route.method == "POST")
    assert ("requestBody" in operation) == (route.body is not None or route.streams_body)


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)


def test_the_page_needs_nothing_from_anywhere_else(server: Served) -> None:
    for path in ASSETS:
        answer = server.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert re.findall(r"(?:https?:|wss?:)?//(?!\s)[\w.-]+\.\w+", answer.text) == []
        assert "@import" not in answer.text
        for link in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
            assert server.client.get(link).status_code == 200
    page = server.client.get("/api/docs")
    assert "<script>" not in page.text
    assert " on" not in re.sub(r">[^<]*<", "><", page.text)


def test_the_page_may_load_from_its_own_server_only(server: Served) -> None:
    policy = server.client.get("/api/docs").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert set(rules.values()) == {"'none'", "'self'"}


def test_the_request_of_the_specification_works_as_written(server: Served) -> None:
    request = (
        '{"name":"Prime Finder","type":"script","payload":{"sourceCode":"return 1","dependencies":["lodash"],'
        '"runtime":"native"},"requirements":{"minRam":2,"gpuRequired":false}}'
    )
    answer = server.client.post("/api/tasks", content=request, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    view = server.client.get(answer.headers["location"]).json()
    assert (view["name"], view["runtime"], view["state"]) == ("Prime Finder", "native", "queued")
    assert view["payload"]["dependencies"] == ["lodash"]
    assert view["requirements"] == {"minRam": 2.0}


@pytest.mark.timeout(300)
def test_no_generated_request_finds_a_mistake_of_the_server(own_server: Served, tmp_path: Path) -> None:
    token = own_server.key("generator", "admin")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{own_server.url}/api/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {token}", "--checks", f"{checks},negative_data_rejection"),
            *("--phases", "coverage,fuzzing", "--max-examples", "15", "--request-timeout", "20"),
            # They may well wait for what never comes.
            *("--exclude-path-regex", "/(logs|result)$|^/api/clusters/[^/]*$"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
    assert own_server.is_well()
