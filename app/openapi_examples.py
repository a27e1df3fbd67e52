"""Parameters and examples of the OpenAPI document.

`openapi_examples.json` has an example of each body by the name of its schema; pages and lists are
built from the example of their items. A test checks that each example matches its schema.
"""

import json
from pathlib import Path
from typing import Any

from app.openapi_responses import HEADERS, operations

Json = dict[str, Any]

BODIES: Json = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
ETAG = HEADERS["ETag"][2]
TEXTS = {
    "text/csv": "age,income\n71,>50K\n38,<=50K\n",
    "text/html": "<!doctype html><html><body>…</body></html>",
    "text/plain": "2026-03-01T09:30:12.345+00:00 info state: state running, attempt 1\n",
    "text/event-stream": (
        'id: 7\nevent: state\ndata: {"id": 7, "job": "job_01m7zaj6wa37tq8eq5328jmbg5", '
        '"level": "info", "step": null, "created_at": "2026-03-01T09:30:12.345Z", '
        '"type": "state", "data": {"state": "running", "attempt": 1, "reason": null}}\n\n'
    ),
    "application/x-ndjson": '{"age": 71, "income": ">50K"}\n{"age": 38, "income": "<=50K"}\n',
    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg"/>',
}
# By name: the description of parameters that routes only declare, and an example.
PARAMETERS: dict[str, tuple[str, Any]] = {
    "dataset_id": ("Dataset id.", "ds_01m7zaj67q56bkjvff4y93sc4s"),
    "upload_id": ("Upload id.", "upl_01m7zaj5c8w7x4r2m0k9t3v6ye"),
    "job_id": ("Job id.", "job_01m7zaj6wa37tq8eq5328jmbg5"),
    "tenant_id": ("Tenant id.", "tnt_01m8hjyw6bsm98x65jt1b5rka8"),
    "key_id": ("Key id.", "key_01m7zaj1q5n8b3w6d2f4h7k9ms"),
    "webhook_id": ("Webhook id.", "wh_01m7zaj2t6p9c4x7e3g5j8m0nr"),
    "reference": (
        "Model: `name` (its newest version), `name:version`, `name@alias` or `mdl_…`.",
        "shoes:3",
    ),
    "alias": ("Alias: letters, digits, dots, dashes and underscores.", "prod"),
    "step": ("Training step.", 2400),
    "number": ("Number of the part, from 1.", 1),
    "name": ("Name of the artifact, which may contain slashes.", "manifest.json"),
    "index": ("Index of the item, counted from 0.", 0),
    "models": ("Models, separated by commas.", "shoes:2,shoes:3"),
    "jobs": ("Ids of jobs, separated by commas.", "job_01m7zaj6wa37tq8eq5328jmbg5"),
    "traceparent": (
        "Trace that the job continues (W3C Trace Context).",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    "if-none-match": ("ETag of a stored response; the answer is 304 if it is still valid.", ETAG),
    "if-range": ("ETag of a stored part; without a match, the answer is the whole file.", ETAG),
    "content-digest": (
        "SHA-256 of the part (RFC 9530): `sha-256=:<base64>:`.",
        "sha-256=:LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=:",
    ),
}


def add(document: Json) -> None:
    """Add descriptions of parameters, and an example to each of them and each body."""
    schemas = document["components"]["schemas"]
    for _path, _method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            _describe(parameter)
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            for media_type, media in body.get("content", {}).items():
                _add_example(media_type, media, schemas)


def _describe(parameter: Json) -> None:
    text, example = PARAMETERS.get(parameter["name"].lower(), (None, None))
    is_declared = parameter["in"] == "query" and parameter["name"] in {"name", "step", "index"}
    if text is None or is_declared:
        return
    parameter.setdefault("description", text)
    parameter["example"] = example


def _add_example(media_type: str, media: Json, schemas: Json) -> None:
    if media_type in TEXTS:
        media["example"] = TEXTS[media_type]
        return
    variants = media["schema"].get("oneOf") or media["schema"].get("anyOf") or []
    names = [part["$ref"].rsplit("/", 1)[1] for part in variants if "$ref" in part]
    if names:
        media["examples"] = {name: {"value": BODIES[name]} for name in names if name in BODIES}
    elif (example := _example(media["schema"], schemas)) is not None:
        media["example"] = example


def _example(schema: Json, schemas: Json) -> Any:
    """Return the example of a schema; build those of lists and pages from that of their items."""
    if schema.get("type") == "array":
        item = _example(schema["items"], schemas)
        return None if item is None else [item]
    if isinstance(values := schema.get("additionalProperties"), dict):
        item = _example(values, schemas)
        return None if item is None else {"critic_loss": item}
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    if name in BODIES or not name.endswith("Page"):
        return BODIES.get(name)
    properties = schemas[name]["properties"]
    page = {"data": _example(properties["data"], schemas), "next": None, "has_more": False}
    return page | ({"total": 1, "total_is_exact": True} if "total" in properties else {})
