"""Odd texts and numbers in every parameter and body: rejected, never an error of the service."""

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from starlette.testclient import TestClient

from core import api_keys
from core.database import read
from core.datasets import repository
from core.errors import Conflict
from core.settings import get_settings
from core.storage import get_storage
from tests.conftest import TENANT
from tests.factories import create_dataset
from tests.uploads import make_people_csv

Json = dict[str, Any]

TEXTS = [
    "\x00",
    "a\x00b",
    "\x1b[2J",
    "\u202eabc",
    "\ud800",
    "\ufffe",
    "x" * 5_000,
    "../../etc/passwd",
    "'; DROP TABLE jobs; --",
    "%",
    "*",
    "\x00*",
    "ä" * 300,
    "{}",
    "[[]]",
    '{"a":',
    '{"income": "\\u0000"}',
    '{"age": {"gte": 1e400}}',
    '{"age": {"gte": 99999999999999999999}}',
    '{"age": [1, null, {}]}',
    ":",
    "a:b",
    "job_\x00",
]
NUMBERS = [
    "-1",
    "0",
    str(2**31),
    str(2**53 + 1),
    str(2**62),
    str(2**63 - 1),
    str(2**63),
    str(-(2**63) - 1),
    "9" * 30,
    "9" * 5_000,
    "1e400",
    "nan",
    "-inf",
    "0x10",
    "٣",
]
DATES = ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"]
DATES += ["10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "-2026-01-01T00:00:00Z", "1e18"]
VALUES = [*TEXTS, *NUMBERS, *DATES]
# These would delete what the others need, or start a process for each request.
LEFT_OUT = {"deleteModel", "deleteDataset", "deleteUpload", "revokeKey", "createDataset"}
LEFT_OUT |= {"changeSchema"}


@pytest.fixture
def ids(people: TestClient) -> dict[str, str]:
    """Return the id of a resource of each kind, by the parameter of its paths."""
    with read() as session:
        own = api_keys.find(session, "sem_test")
        assert own is not None
    job = {"kind": "generation", "model": "people", "count": 5}
    return {
        "dataset_id": create_dataset(make_people_csv(), "people.csv"),
        "upload_id": people.post("/v1/uploads", json={"filename": "x"}).json()["id"],
        "job_id": people.post("/v1/jobs", json=job).json()["id"],
        "reference": "people",
        "key_id": own.id,
        "webhook_id": "wh_x",
        "tenant_id": "tnt_x",
        "step": "1",
        "index": "0",
        "number": "1",
        "name": "x",
        "alias": "prod",
    }


def requests(application: FastAPI, ids: dict[str, str]) -> Iterator[tuple[str, str, Json]]:
    """Yield requests, each with one odd parameter or one odd value in its body."""
    for template, methods in application.openapi()["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] in LEFT_OUT:
                continue
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            body = media.get("example")
            for parameter in operation.get("parameters", []):
                for value in VALUES:
                    yield method, *odd_request(template, parameter, value, ids, body)
            for odd_body in odd_bodies(body):
                yield method, fill(template, ids), {"json": odd_body}


def odd_request(
    template: str, parameter: Json, value: str, ids: dict[str, str], body: Any
) -> tuple[str, Json]:
    name, raw = parameter["name"], value.encode("utf-8", "surrogatepass")
    encoded = quote(raw, safe="")
    if parameter["in"] == "path":
        return fill(template.replace("{" + name + "}", encoded), ids), {"json": body}
    if parameter["in"] == "query":
        return f"{fill(template, ids)}?{name}={encoded}", {"json": body}
    return fill(template, ids), {"json": body, "headers": {name: raw}}


def fill(template: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        template = template.replace("{" + name + "}", value)
    return template


def odd_bodies(body: Any) -> Iterator[Any]:
    """Yield the body with each of its values, and of the values inside them, replaced."""
    replacements = ["\x1b", "\u202e", "x" * 5_000, 2**63, -(2**63) - 1, 10**19, 0.5, None, [], {}]
    if isinstance(body, dict):
        for name, value in body.items():
            if name == "kind":
                continue
            for odd in (*replacements, *odd_bodies(value)):
                yield body | {name: odd}
    elif isinstance(body, list):
        for i, value in enumerate(body[:2]):
            for odd in (*replacements, *odd_bodies(value)):
                yield [*body[:i], odd, *body[i + 1 :]]


def check(client: TestClient, method: str, path: str, options: Json) -> str | None:
    """Send a request; return how the service failed, if it did."""
    try:
        response = client.request(method, path, **options)
    except (UnicodeEncodeError, httpx.InvalidURL):
        return None  # the client itself cannot send it
    except Exception as error:
        return f"{method} {path[:200]} {options}: {type(error).__name__}: {error}"[:600]
    if response.status_code >= 500 and response.status_code != 503:
        return f"{method} {path[:200]} {options}: {response.status_code} {response.text}"[:600]
    return None


def run(client: TestClient, selected: list[tuple[str, str, Json]]) -> None:
    failures = [failure for each in selected if (failure := check(client, *each))]
    assert not failures, "\n".join(failures[:50])


@pytest.mark.parametrize(
    "query",
    ["name=a%00b", "name=%1b%5b2J", "name=%ff", "tag=%ed%a0%80", "name=%7f", "%00=1", "name=+%08"],
)
def test_a_query_with_control_characters_is_rejected(client: TestClient, query: str) -> None:
    response = client.get(f"/v1/datasets?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "text_invalid")


@pytest.mark.parametrize("path", ["job_%00", "job_%1b", "job_%e2%80%ae", "job_%ed%a0%80", "job%0a"])
def test_a_path_with_control_or_direction_characters_is_rejected(
    client: TestClient, path: str
) -> None:
    response = client.get(f"/v1/jobs/{path}")
    assert response.status_code in {400, 404}
    assert response.json()["code"] in {"path_invalid", "not_found"}


@pytest.mark.parametrize("tags", [{"a": "\u202e"}, {"a\x1b": "b"}, {"a": "b\nc"}])
def test_tags_have_no_control_characters(client: TestClient, tags: Json) -> None:
    body = {"builtin": "digits", "tags": tags}
    assert client.post("/v1/datasets", json=body).status_code == 422


def test_the_name_of_an_uploaded_file_loses_its_control_characters(client: TestClient) -> None:
    table = "\n".join(["a,b", *(f"{n},{n % 3}" for n in range(30))]).encode()
    files = {"file": ("bad\u202e\x1bname.csv", table)}
    created = client.post("/v1/datasets", files=files)
    assert created.status_code == 201, created.text
    assert created.json()["name"] == "bad__name"


def test_errors_of_the_database_do_not_have_the_values_of_a_statement(client: TestClient) -> None:
    with pytest.raises(DatabaseError) as caught, read() as session:
        session.execute(text("SELECT :value FROM nothing"), {"value": "secret of a customer"})
    assert "secret" not in str(caught.value)


def test_nothing_stays_stored_if_the_row_of_a_dataset_fails(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Conflict("The row cannot be added.")

    monkeypatch.setattr(repository, "add_ready", fail)
    monkeypatch.setattr(repository, "add_validating", fail)
    for limit in (10**9, 1):  # read at once, and later
        monkeypatch.setattr(get_settings().limits, "sync_dataset_bytes", limit)
        files = {"file": ("people.csv", make_people_csv())}
        assert client.post("/v1/datasets", files=files).status_code == 409
    assert list(get_storage().keys("t/" + TENANT)) == []


def test_a_sample_of_odd_requests_does_not_break_the_service(
    people: TestClient, application: FastAPI, ids: dict[str, str]
) -> None:
    run(
        people,
        random.Random(1).sample(  # noqa: S311 - not a secret
            list(requests(application, ids)), 150
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_no_odd_request_breaks_the_service(
    people: TestClient, application: FastAPI, ids: dict[str, str]
) -> None:
    run(people, list(requests(application, ids)))
