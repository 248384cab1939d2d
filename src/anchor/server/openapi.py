"""The OpenAPI 3.1 description, made from the route table, and a page that shows it without the internet."""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec

from anchor.core.access import Role
from anchor.server.http import Answer, Call, Route
from anchor.wire.problems import CONTENT_TYPE, Problem

_TEMPLATE = "#/components/schemas/{name}"
_PATH_NAME = re.compile(r"\{(\w+)\}")


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    kinds: list[Any] = [Problem]
    for route in routes:
        kinds += [kind for kind in (route.body, route.response, route.query) if kind is not None and kind is not bytes]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    of = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Anchor Network", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, of: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    content: Any = {route.content_type: {} if route.response is bytes else {"schema": of[repr(route.response)]}}
    for kind in (route.stream_type, *route.file_types):
        if kind:
            content[kind] = {"schema": {"type": "string"}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.method.lower()}_"
        + re.sub(r"\W+", "_", route.path.removeprefix("/api/")).strip("_"),
        "parameters": [*_path_parameters(route), *_query_parameters(route, of, components)],
        "responses": {
            str(route.status): {"description": route.summary, "content": content},
            "default": {
                "description": "A problem: what is wrong and what to do next",
                "content": {CONTENT_TYPE: {"schema": of[repr(Problem)]}},
            },
        },
        "security": [{"bearer": []}] if route.roles else [],
        "x-roles": [str(role) for role in route.roles],
    }
    if route.method == "POST":
        operation["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key with the same body is carried out once",
                "schema": {"type": "string", "maxLength": 255},
            }
        )
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {"application/json": {"schema": of[repr(route.body)]}},
        }
    if route.streams_body:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_NAME.findall(route.path)
    ]


def _query_parameters(route: Route, of: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    name = of[repr(route.query)]["$ref"].rpartition("/")[2]
    return [
        {"name": field, "in": "query", "required": False, "schema": schema}
        for field, schema in components[name].get("properties", {}).items()
    ]


def pages(routes: Sequence[Route], version: str) -> list[Route]:
    """The routes that show the description itself."""
    document = msgspec.json.encode(describe(routes, version))
    page = resources.files("anchor.server").joinpath("api.html").read_bytes()

    async def openapi(_: Call) -> Answer:
        return Answer(document)

    async def docs(_: Call) -> Answer:
        policy = (
            "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return Answer(page, content_type="text/html; charset=utf-8", headers={"content-security-policy": policy})

    def asset(name: str, content_type: str) -> Route:
        content = resources.files("anchor.server").joinpath(name).read_bytes()

        async def serve(_: Call) -> Answer:
            return Answer(content, content_type=content_type)

        return Route(
            method="GET",
            path=f"/api/docs/{name}",
            handler=serve,
            summary=f"Part of /api/docs: {name}",
            roles=(Role.VIEWER,),
            response=bytes,
            content_type=content_type,
        )

    return [
        Route(
            method="GET",
            path="/api/openapi.json",
            handler=openapi,
            summary="This API as OpenAPI 3.1",
            roles=(Role.VIEWER,),
            response=dict[str, Any],
        ),
        Route(
            method="GET",
            path="/api/docs",
            handler=docs,
            summary="This API as a page",
            roles=(Role.VIEWER,),
            response=bytes,
            content_type="text/html",
        ),
        asset("api.js", "text/javascript; charset=utf-8"),
        asset("api.css", "text/css; charset=utf-8"),
    ]
