"""The OpenAPI document: FastAPI's document of the routes, completed here.

`python -m app.openapi > docs/openapi.json` writes it. To change what it says:

- the text of an operation or a property: the docstring of its route, or the `description` of its
  field;
- an example of a body: `app/openapi_examples.py`, by the name of its schema;
- a header, a media type of a file or the errors of an operation: `app/openapi_responses.py`.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app import openapi_examples, openapi_responses
from app.authentication import requirement
from app.schemas.events import ProgressView, StreamEnd
from app.schemas.problem import Problem

Json = dict[str, Any]
SCHEMAS = "#/components/schemas/"
_TYPES = {str: "string", bool: "boolean", int: "integer"}
_PAGE = re.compile(r"(?:Counted)?Page_(\w+?)(?:View)?_")

TAGS = {
    "datasets": "Labeled images or tables that models are trained on.",
    "uploads": "Resumable uploads of large files.",
    "jobs": "Training, generation, evaluation and augmentation, run by workers.",
    "models": "Trained models: versions, aliases, reports and files.",
    "samples": "Synthetic images and rows of a model.",
    "webhooks": "Messages to your servers about jobs.",
    "service": "Version, limits, presets, API keys and signed URLs.",
    "operations": "Workers, queues, usage, the audit log and metrics.",
    "health": "Checks without a key, for load balancers.",
}


def operation_id(route: APIRoute) -> str:
    """Return the id of an operation: the name of its function in camel case, `createJob`."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Make `/openapi.json` return the completed document of the routes."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = build(app, routes)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def build(app: FastAPI, routes: Sequence[BaseRoute]) -> Json:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="Synthetic images and tables by label, from models that you train.",
        description=app.description,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        contact={"name": "The operator of this server"},
        servers=[{"url": "/", "description": "This server."}],
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    # The application has them in the order in which it looks for the route of a request.
    order = [route.path_format for route in routes if isinstance(route, APIRoute)]
    paths = sorted(document["paths"].items(), key=lambda item: order.index(item[0]))
    document["paths"] = dict(paths)
    schemas = document["components"]["schemas"]
    for model in (Problem, ProgressView, StreamEnd):  # FastAPI adds only schemas of JSON
        schemas[model.__name__] = model.model_json_schema()
    _name_nested_schemas(document, schemas)
    _rename_pages(document, schemas)
    for schema in schemas.values():
        for node in _nodes(schema.get("properties", {})):
            _simplify(node)
    for schema in schemas.values():
        schema.pop("title", None)
    _add_scopes(document, routes)
    openapi_responses.complete(document)
    openapi_examples.add(document)
    _drop_unused(document)
    return document


def _add_scopes(document: Json, routes: Sequence[BaseRoute]) -> None:
    """List the scopes of each operation as roles of its security: any of them is enough."""
    for route in routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        if (required := requirement(route.dependant)) is not None:
            scopes = [[scope] for scope in required.scopes] or [[]]
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation["security"] = [{"HTTPBearer": scope} for scope in scopes]


def _nodes(value: Any) -> Iterator[Json]:
    """Yield every object inside a JSON value."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _name_nested_schemas(document: Json, schemas: Json) -> None:
    """Move the `$defs` of schemas that are not FastAPI's, and their titled parts, to `schemas`."""
    for node in list(_nodes(document)):
        for name, schema in node.pop("$defs", {}).items():
            schemas.setdefault(name, schema)
    for node in _nodes(document):
        if node.get("$ref", "").startswith("#/$defs/"):
            node["$ref"] = SCHEMAS + node["$ref"].removeprefix("#/$defs/")
    # A whole schema inside another one, such as each modality's hyperparameters.
    for node in list(_nodes({"paths": document["paths"], "schemas": schemas})):
        for key in ("schema", "contentSchema"):
            if isinstance(node.get(key), dict):
                node[key] = _named(node[key], schemas)
        for key in ("anyOf", "oneOf"):
            if isinstance(node.get(key), list):
                node[key] = [_named(part, schemas) for part in node[key]]


def _named(schema: Json, schemas: Json) -> Json:
    """Return a reference to an object schema that has a name."""
    name = schema.get("title", "")
    if "properties" not in schema or not name.isidentifier():
        return schema
    schemas.setdefault(name, schema)
    return {"$ref": SCHEMAS + name}


def _rename_pages(document: Json, schemas: Json) -> None:
    """Rename `Page_JobView_`, as FastAPI calls pages of jobs, to `JobPage`."""
    names = {name: match[1] + "Page" for name in schemas if (match := _PAGE.fullmatch(name))}
    for name, new_name in names.items():
        schemas[new_name] = schemas.pop(name)
    for node in _nodes(document):
        name = str(node.get("$ref")).removeprefix(SCHEMAS)
        if name in names:
            node["$ref"] = SCHEMAS + names[name]


def _simplify(node: Json) -> None:
    """Remove what generators of clients misread: titles, defaults that are objects or arrays."""
    if isinstance(node.get("title"), str):
        del node["title"]
    if isinstance(node.get("default"), dict | list):
        del node["default"]
    if "default" in node and node["default"] is None:
        del node["default"]
    if len({type(value) for value in node.get("enum", ())}) > 1:  # "auto" or false
        node["anyOf"] = [
            {"const": value, "type": _TYPES[type(value)]} for value in node.pop("enum")
        ]


def _drop_unused(document: Json) -> None:
    """Remove schemas that nothing refers to, such as FastAPI's own validation errors."""
    schemas = document["components"]["schemas"]
    while True:
        used = {node["$ref"] for node in _nodes(document) if isinstance(node.get("$ref"), str)}
        unused = [name for name in schemas if SCHEMAS + name not in used]
        if not unused:
            return
        for name in unused:
            del schemas[name]


def render() -> str:
    """Return the document as indented JSON, in the order in which the routes are declared."""
    from app.main import create_app

    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
