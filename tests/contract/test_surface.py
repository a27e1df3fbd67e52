"""Every route, field and value of the contract against what the code offers."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app

HERE = Path(__file__).parent
SURFACE = tomllib.loads((HERE / "surface.toml").read_text())


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return create_app().openapi()


def plain(path: str) -> str:
    """The names of path parameters do not matter: the first is {id}, a second {n}."""
    names = iter(["{id}", "{n}", "{m}"])
    return re.sub(r"\{\w+\}", lambda _match: next(names), path)


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, verbs in openapi["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {plain(path)}", operation


def schemas(openapi: dict[str, Any]) -> dict[str, Any]:
    """Named schemas, and those of the body that is told by hand."""
    found = dict(openapi["components"]["schemas"])
    content = openapi["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]
    meta = content["multipart/form-data"]["schema"]["properties"]["meta"]
    found["DatasetMeta"] = meta["contentSchema"]
    found["DatasetFrom"] = content["application/json"]["schema"]
    return found


def values(schema: Any, known: dict[str, Any]) -> set[str]:
    """All strings that a schema allows, wherever they stand in it."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return values(known[schema["$ref"].rsplit("/", 1)[1]], known)
        found = set(schema.get("enum", [])) | {schema["const"]} if "const" in schema else set()
        found |= set(schema.get("enum", []))
        for part in schema.get("anyOf", []):
            found |= values(part, known)
        return found
    return set()


def compare(offered: set[str], group: dict[str, list[str]], what: str) -> None:
    built, not_built = set(group["built"]), set(group["not_built"])
    assert built <= offered, f"{what}: not offered: {sorted(built - offered)}"
    assert not not_built & offered, f"{what}: is built: {sorted(not_built & offered)}"


def test_the_routes_are_the_contracts_and_no_others(openapi: dict[str, Any]) -> None:
    offered = {name for name, _ in operations(openapi)}
    compare(offered, SURFACE["routes"], "routes")
    assert offered == set(SURFACE["routes"]["built"])


@pytest.mark.parametrize("name", SURFACE["fields"])
def test_a_schema_has_the_fields_that_are_built(openapi: dict[str, Any], name: str) -> None:
    compare(set(schemas(openapi)[name]["properties"]), SURFACE["fields"][name], name)


@pytest.mark.parametrize("name", SURFACE["values"])
def test_a_field_takes_exactly_the_values_that_are_built(
    openapi: dict[str, Any], name: str
) -> None:
    schema, field = name.split(".")
    known = schemas(openapi)
    offered = values(known[schema]["properties"][field], known)
    assert offered == set(SURFACE["values"][name]["built"])


def test_routes_take_the_parameters_that_are_built(openapi: dict[str, Any]) -> None:
    offered = {
        f"{name}?{parameter['name'].lower()}"
        for name, operation in operations(openapi)
        for parameter in operation.get("parameters", [])
    }
    compare(offered, SURFACE["parameters"], "parameters")


def test_routes_send_the_media_types_that_are_built(openapi: dict[str, Any]) -> None:
    offered = {
        f"{name} {media}"
        for name, operation in operations(openapi)
        for media in operation["responses"].get("200", {}).get("content", {})
    }
    compare(offered, SURFACE["sent"], "sent")


def test_what_is_not_built_only_shrinks() -> None:
    at_first = set((HERE / "not_built_at_first.txt").read_text().splitlines())
    grown = set(not_built()) - at_first
    assert not grown, f"promised before, and gone now: {sorted(grown)}"


def not_built() -> Iterator[str]:
    for section in ("routes", "parameters", "sent"):
        yield from SURFACE[section]["not_built"]
    for section in ("fields", "values"):
        for name, group in SURFACE[section].items():
            yield from (f"{name}: {item}" for item in group["not_built"])


def test_a_route_that_comes_without_the_contract_is_noticed() -> None:
    with pytest.raises(AssertionError, match="is built"):
        compare({"GET /metrics"}, {"built": [], "not_built": ["GET /metrics"]}, "routes")
