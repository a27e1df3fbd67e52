"""The OpenAPI document: every operation is typed, described and has an example that fits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

Json = dict[str, Any]
# tests/app/test_openapi.py compares it with the document of the service, which is slow to build.
SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT: Json = json.loads(SNAPSHOT.read_text())
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
REGISTRY: Any = Registry().with_resource(
    "urn:document", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
)
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
each_operation = pytest.mark.parametrize(
    "operation", [operation for _, operation in OPERATIONS], ids=[name for name, _ in OPERATIONS]
)


def find_nodes(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from find_nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from find_nodes(part)


def find_media(operation: Json) -> Iterator[tuple[str, Json]]:
    """Yield the media types of the request body and of the responses that are not errors."""
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from body.get("content", {}).items()


def validate(schema: Json, value: Any) -> None:
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    validator = OAS31Validator(absolute, registry=REGISTRY)
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(value)]
    assert not errors, "\n".join(errors[:5])


def test_the_document_is_valid() -> None:
    assert not list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())


def test_every_reference_has_a_target() -> None:
    for node in find_nodes(DOCUMENT):
        if isinstance(reference := node.get("$ref"), str):
            target: Any = DOCUMENT
            for part in reference.removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]


def test_every_operation_has_its_own_readable_id() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert all(name.isalpha() and name[0].islower() for name in ids)
    assert "createJob" in ids


def test_no_default_is_an_object_or_an_array() -> None:
    for schema in SCHEMAS.values():
        for node in find_nodes(schema.get("properties", {})):
            if not isinstance(node.get("default"), dict) or "type" not in node["default"]:
                assert not isinstance(node.get("default"), dict | list)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_property_has_a_description(name: str) -> None:
    for field, schema in SCHEMAS[name].get("properties", {}).items():
        target = SCHEMAS.get(schema.get("$ref", "").rsplit("/", 1)[-1], {})
        assert schema.get("description") or target.get("description"), field


@each_operation
def test_every_answer_is_typed(operation: Json) -> None:
    for media_type, media in find_media(operation):
        assert media.get("schema"), media_type
        if "json" in media_type and "ndjson" not in media_type:
            assert "$ref" in json.dumps(media["schema"]), media_type


@each_operation
def test_every_operation_documents_its_errors(operation: Json) -> None:
    references = {status: r.get("$ref") for status, r in operation["responses"].items()}
    assert {"400", "503", "4XX", "5XX"} <= set(references)
    for name, response in DOCUMENT["components"]["responses"].items():
        (content,) = response["content"].items()
        assert content[0] == "application/problem+json", name
        assert content[1]["schema"] == {"$ref": "#/components/schemas/Problem"}, name
        if "example" in content[1]:
            validate(content[1]["schema"], content[1]["example"])


@each_operation
def test_every_security_scheme_is_defined(operation: Json) -> None:
    names = {name for choice in operation.get("security", []) for name in choice}
    assert names <= set(DOCUMENT["components"]["securitySchemes"])


@each_operation
def test_every_parameter_is_described(operation: Json) -> None:
    assert all(parameter.get("description") for parameter in operation.get("parameters", []))


@each_operation
def test_every_operation_has_examples_that_fit(operation: Json) -> None:
    examples = [p for p in operation.get("parameters", []) if "example" in p]
    for media_type, media in find_media(operation):
        values = [media["example"]] if "example" in media else []
        values += [example["value"] for example in media.get("examples", {}).values()]
        if media_type == "application/json":
            assert values, media["schema"]
        for value in values:
            validate(media["schema"], value)
        examples += values
    assert examples


@each_operation
def test_files_are_binary(operation: Json) -> None:
    for media_type, media in find_media(operation):
        if media_type.startswith(("image/png", "image/gif")) or media_type.endswith("zip"):
            assert media["schema"] == {"type": "string", "format": "binary"}
