"""Responses of the OpenAPI document: media types of files, headers and errors.

A route that returns a file declares `responses=responses("image/png", headers=("ETag",))`. The
errors and the common headers of an operation follow from its parameters, body and security.
"""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]
PROBLEM = {"$ref": "#/components/schemas/Problem"}
PROBLEM_TYPE = "application/problem+json"
TEXT_TYPES = ("text/", "application/x-ndjson", "image/svg+xml")

HEADERS: dict[str, tuple[str, Json, Any]] = {
    "X-Request-ID": (
        "Id of the request in the service's log: the one that was sent, or a new one.",
        {"type": "string"},
        "req_01m7zaj67q56bkjvff4y93sc4s",
    ),
    "Location": (
        "Path of the created resource.",
        {"type": "string"},
        "/v1/jobs/job_01m7zaj6wa37tq8eq5328jmbg5",
    ),
    "Idempotency-Replayed": (
        "`true` if this is the saved response to an earlier request with the same key.",
        {"type": "string", "enum": ["true"]},
        "true",
    ),
    "Vary": ("The representation depends on these request headers.", {"type": "string"}, "Accept"),
    "ETag": (
        "Identifies this version of the content. Send it as `If-None-Match` to get 304.",
        {"type": "string"},
        '"2c26b46b68ffc68ff99b453c1d304134"',
    ),
    "Accept-Ranges": ("`bytes`: parts can be requested.", {"type": "string"}, "bytes"),
    "Content-Range": (
        "The part that this is, and the size of the whole.",
        {"type": "string"},
        "bytes 0-1023/52011",
    ),
    "Content-Disposition": (
        "Name for the saved file.",
        {"type": "string"},
        'attachment; filename="samples.zip"',
    ),
    "Retry-After": ("Seconds to wait before the next try.", {"type": "integer"}, 5),
    "RateLimit": (
        "What is left of the quotas, and the seconds until they are full again "
        "(draft-ietf-httpapi-ratelimit-headers).",
        {"type": "string"},
        '"waiting_jobs";r=0;t=60',
    ),
    "RateLimit-Policy": (
        "The quotas that apply, and their windows in seconds.",
        {"type": "string"},
        '"waiting_jobs";q=5000',
    ),
    "WWW-Authenticate": ("Scheme of the API key.", {"type": "string"}, "Bearer"),
    "Semblance-Model": (
        "Id of the model that generated the samples.",
        {"type": "string"},
        "mdl_01m7zajz1v4z1b1kz5w0n9m3xt",
    ),
    "Semblance-Step": ("Training step of the weights.", {"type": "integer"}, 2400),
    "Semblance-Seed": ("Random seed, for the same samples again.", {"type": "integer"}, 7),
    "Semblance-Count": ("Number of samples.", {"type": "integer"}, 300),
    "Semblance-Quality": (
        "Quality of the model by its newest evaluation.",
        {"type": "string", "enum": ["good", "poor", "not_evaluated"]},
        "good",
    ),
    "Semblance-Quality-Gate": (
        "Whether the model meets the criteria of its training job; missing without criteria.",
        {"type": "string", "enum": ["passed", "failed"]},
        "passed",
    ),
    "Semblance-Acceptance-Rate": (
        "Accepted fraction of the candidates; missing without rejection sampling.",
        {"type": "number"},
        0.3125,
    ),
}

# The `data` of each message.
STREAM: Json = {
    "type": "string",
    "contentSchema": {
        "anyOf": [
            {"$ref": f"#/components/schemas/{name}"}
            for name in ("EventView", "ProgressView", "StreamEnd")
        ]
    },
}

# By status: when it is sent, and an example of `code`, `title`, `detail` and `errors`.
ERRORS: dict[str, tuple[str, Json]] = {
    "400": (
        "A header, the cursor or the JSON text of the request is malformed.",
        {
            "code": "cursor_invalid",
            "title": "The request cannot be parsed",
            "detail": "`after` is not a cursor of this list. Send `next` of the previous page.",
        },
    ),
    "401": (
        "The API key is missing, revoked or unknown.",
        {
            "code": "key_missing",
            "title": "API key required",
            "detail": "The API key is missing. Send it as `Authorization: Bearer sem_…`.",
        },
    ),
    "403": (
        "The API key lacks the scope that the operation needs.",
        {
            "code": "scope_missing",
            "title": "The API key lacks a scope",
            "detail": "The API key lacks the scope `train`.",
        },
    ),
    "404": (
        "A resource in the path does not exist, or belongs to another tenant.",
        {
            "code": "not_found",
            "title": "Not found",
            "detail": "Job job_01m7zaj6wa37tq8eq5328jmbg5 does not exist.",
        },
    ),
    "406": (
        "No available representation matches `Accept` or `format`.",
        {
            "code": "not_acceptable",
            "title": "Not acceptable",
            "detail": "Available are: `json` (application/json), `html` (text/html).",
        },
    ),
    "409": (
        "The state of a resource does not permit the operation now.",
        {
            "code": "dataset_not_ready",
            "title": "Conflict with the current state",
            "detail": "Dataset ds_01m7zaj67q is in state `validating`, not `ready`.",
            "retryable": True,
        },
    ),
    "413": (
        "The body exceeds a limit, which `GET /v1` lists.",
        {
            "code": "body_too_large",
            "title": "Size limit exceeded",
            "detail": "The request body exceeds the limit of 1048576 bytes.",
        },
    ),
    "415": (
        "The media type or the encoding of the body is not supported.",
        {
            "code": "unsupported_media_type",
            "title": "Unsupported media type",
            "detail": "The body must be JSON with Content-Type: application/json.",
        },
    ),
    "416": (
        "The requested range begins after the end of the file.",
        {
            "code": "range_not_satisfiable",
            "title": "Range not satisfiable",
            "detail": "The range begins after the end of the file, which has 52011 bytes.",
        },
    ),
    "422": (
        "A field or a parameter is unknown or has a value that cannot be used.",
        {
            "code": "unknown_field",
            "title": "Validation failed",
            "detail": "/preset_name: Unknown field. Did you mean `preset`?",
            "errors": [
                {
                    "pointer": "/preset_name",
                    "code": "unknown_field",
                    "message": "Unknown field. Did you mean `preset`?",
                    "allowed": ["preset"],
                }
            ],
        },
    ),
    "429": (
        "The key or the tenant has used up a quota, which `GET /v1` lists.",
        {
            "code": "quota_exceeded",
            "title": "Quota exceeded",
            "detail": "The quota `waiting_jobs` allows 5000 queued and paused jobs. Retry later.",
            "retryable": True,
        },
    ),
    "503": (
        "The service cannot answer now: the database, the queue or a model is not available.",
        {
            "code": "queue_full",
            "title": "Temporarily unavailable",
            "detail": "10000 jobs are queued, which is the limit. Retry later.",
            "retryable": True,
        },
    ),
}
ERROR_HEADERS = {
    "401": ("WWW-Authenticate",),
    "416": ("Content-Range",),
    "429": ("Retry-After", "RateLimit", "RateLimit-Policy"),
    "503": ("Retry-After",),
}


def headers(*names: str) -> Json:
    """Return the `headers` of a response."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def responses(
    *media_types: str,
    headers: Sequence[str] = (),
    description: str = "The content.",
    model: Any = None,
    ranges: bool = False,
) -> dict[int | str, Json]:
    """Return the `responses` of a route whose answer may have other media types than JSON.

    Args:
        media_types: Media types other than JSON.
        headers: Names in HEADERS.
        description: Content of the response.
        model: Schema of the JSON response, if the route has no `response_model`.
        ranges: The route also answers byte ranges and conditional requests.
    """
    names = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    content: Json = {media_type: {} for media_type in media_types}
    answer: Json = {"description": description, "content": content, "headers": names}
    if model is not None:
        answer["model"] = model
    answers: dict[int | str, Json] = {200: answer}
    if ranges:
        answers[206] = {
            "description": "The requested range of bytes.",
            "content": dict(content) | {"application/octet-stream": {}},
            "headers": names | {"Content-Range": {"$ref": "#/components/headers/Content-Range"}},
        }
    if "ETag" in headers:
        answers[304] = {"description": "The content is still the one of `If-None-Match`."}
    return answers


def complete(document: Json) -> None:
    """Add schemas of files, headers and errors to all operations."""
    components = document["components"]
    components["headers"] = {
        name: {"description": text, "schema": schema, "example": example}
        for name, (text, schema, example) in HEADERS.items()
    }
    components["responses"] = {_name(status): _problem(status) for status in ERRORS}
    components["responses"]["Problem"] = {
        "description": "Another error.",
        "headers": headers("X-Request-ID"),
        "content": {PROBLEM_TYPE: {"schema": PROBLEM}},
    }
    for path, method, operation in operations(document):
        responses = operation["responses"]
        responses.pop("422", None)
        for status, response in responses.items():
            _complete_response(method, operation, status, response)
        for status in _statuses(path, method, operation):
            responses[status] = {"$ref": f"#/components/responses/{_name(status)}"}
        for status in ("4XX", "5XX"):
            responses[status] = {"$ref": "#/components/responses/Problem"}


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield the path, the method and the object of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _name(status: str) -> str:
    return HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "")


def _problem(status: str) -> Json:
    text, fields = ERRORS[status]
    example = {
        "type": f"urn:semblance:problem:{fields['code']}",
        "title": fields["title"],
        "status": int(status),
        "detail": fields["detail"],
        "instance": "/v1/jobs",
        "code": fields["code"],
        "retryable": fields.get("retryable", False),
        "request_id": "req_01m7zaj67q56bkjvff4y93sc4s",
    }
    if "errors" in fields:
        example["errors"] = fields["errors"]
    return {
        "description": text,
        "headers": headers("X-Request-ID", *ERROR_HEADERS.get(status, ())),
        "content": {PROBLEM_TYPE: {"schema": PROBLEM, "example": example}},
    }


def _statuses(path: str, method: str, operation: Json) -> list[str]:
    """Return the statuses of the errors that an operation may answer."""
    parameters = operation.get("parameters", [])
    media_types = [
        media_type
        for response in operation["responses"].values()
        for media_type in response.get("content", {})
    ]
    applies = {
        "400": True,
        "401": "security" in operation,
        "403": "security" in operation,
        "404": "{" in path,
        "406": len(set(media_types)) > 1 and method == "get",
        "409": method != "get" and "security" in operation,
        "413": "requestBody" in operation,
        "415": "requestBody" in operation,
        "416": any(parameter["name"].lower() == "range" for parameter in parameters),
        "422": bool(parameters) or "requestBody" in operation,
        "429": "security" in operation,
        "503": True,
    }
    return [status for status in ERRORS if applies[status] and status not in operation["responses"]]


def _complete_response(method: str, operation: Json, status: str, response: Json) -> None:
    content = response.get("content", {})
    for media_type, media in content.items():
        if not media.get("schema"):
            text = media_type.startswith(TEXT_TYPES)
            media["schema"] = {"type": "string"} if text else {"type": "string", "format": "binary"}
        if media_type == "text/event-stream":
            media["schema"] = STREAM
    names = ["X-Request-ID"]
    if status in {"201", "202"}:
        names.append("Location")
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", [])):
        names.append("Idempotency-Replayed")
    if len(content) > 1 and method == "get":
        names.append("Vary")
    response["headers"] = headers(*names) | response.get("headers", {})
