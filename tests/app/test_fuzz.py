"""Odd texts and numbers in every parameter and body: rejected, never an error of the service."""

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from core import api_keys
from core.database import read
from tests.conftest import AddJob
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


@pytest.fixture
def ids(people: TestClient, add_job: AddJob) -> dict[str, str]:
    """Return the id of a resource of each kind, by the parameter of its paths."""
    with read() as session:
        own = api_keys.find(session, "sem_test")
        assert own is not None
    return {
        "dataset_id": create_dataset(make_people_csv(), "people.csv"),
        "upload_id": people.post("/v1/uploads", json={"filename": "x"}).json()["id"],
        "job_id": add_job().id,
        "reference": "people",
        "key_id": own.id,
        "webhook_id": "wh_x",
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
def test_no_odd_request_breaks_the_service(
    people: TestClient, application: FastAPI, ids: dict[str, str]
) -> None:
    run(people, list(requests(application, ids)))
