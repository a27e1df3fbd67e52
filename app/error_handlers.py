"""Exception handlers that turn every error into a problem document (RFC 9457)."""

import difflib
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from core.errors import FieldError, SemblanceError, Unavailable, ValidationFailed

log = logging.getLogger(__name__)

# Clients see these stable codes instead of pydantic's codes.
PYDANTIC_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing",
    "literal_error": "not_allowed",
    "union_tag_invalid": "not_allowed",
    "union_tag_not_found": "missing",
    "enum": "not_allowed",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "string_pattern_mismatch": "not_allowed",
    "finite_number": "number_not_finite",
}
MESSAGES = {  # JSON's words instead of Python's
    "Field required": "this field is required",
    "must be a valid dictionary": "must be a JSON object",
    "must be a valid dictionary or object to extract fields from": "must be a JSON object",
    "must be a valid list": "must be a JSON array",
    "must be 'auto' or False": 'must be "auto", false or {"patience": n}',
}
MAX_FIELD_ERRORS = 20


def install(app: FastAPI) -> None:
    app.add_exception_handler(SemblanceError, _semblance_error)
    app.add_exception_handler(RequestValidationError, _request_error)
    app.add_exception_handler(HTTPException, _http_error)
    for error_class in (OperationalError, InterfaceError, ProgrammingError):
        app.add_exception_handler(error_class, _database_error)
    app.add_exception_handler(Exception, _unknown_error)


def problem_response(
    request: Request, problem: Mapping[str, Any], headers: Mapping[str, str]
) -> JSONResponse:
    body = {
        **problem,
        "instance": request.url.path[:256],
        "request_id": request.scope.get("request_id"),
    }
    return JSONResponse(
        body, body["status"], headers=dict(headers), media_type="application/problem+json"
    )


def validation_failed(
    errors: Iterable[ErrorDetails], field_names: Iterable[str] = (), body: Any = None
) -> ValidationFailed:
    """Convert pydantic's errors for a body or query, without the input values.

    `field_names` are the valid names. The error for an unknown field suggests the closest one.
    """
    all_errors = [_field_error(error, field_names, body) for error in errors]
    # pydantic reports one error per branch of a union. The first one for each field is enough.
    by_pointer = {error.pointer: error for error in reversed(all_errors)}
    field_errors = list(by_pointer.values())[::-1]
    first = field_errors[0]
    more = f" (and {len(field_errors) - 1} more)" if len(field_errors) > 1 else ""
    return ValidationFailed(
        f"{first.pointer or 'The body'}: {first.message}{more}",
        code="unknown_field" if first.code == "unknown_field" else "invalid",
        field_errors=field_errors[:MAX_FIELD_ERRORS],
    )


def body_validation_failed(
    error: ValidationError, body: Any, field_names: Iterable[str] = ()
) -> ValidationFailed:
    """Convert the error of a body that a route validates itself."""
    return validation_failed(
        error.errors(include_input=False, include_url=False), field_names, body
    )


def _location(error: ErrorDetails, body: Any) -> list[str]:
    """Return the path of the field in the request.

    pydantic adds markers to the path, such as the name of a union's branch. They are removed.
    """
    parts: list[str] = []
    for i, part in enumerate(error["loc"]):
        if i == 0 and part in {"body", "query", "path", "header"}:
            if part != "body":
                return [str(name) for name in error["loc"][1:]]
            continue
        in_body = isinstance(body, dict) and part in body
        in_body = in_body or (isinstance(body, list) and isinstance(part, int) and part < len(body))
        if in_body:
            body = body[part]
        elif error["type"] != "missing" or i + 1 < len(error["loc"]):
            continue
        parts.append(str(part))
    return parts


def _field_error(error: ErrorDetails, field_names: Iterable[str], body: Any) -> FieldError:
    error_type, context = error["type"], error.get("ctx", {})
    location = _location(error, body)
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in location)
    message = error["msg"]
    allowed: tuple[str, ...] | None = None
    if error_type.startswith("union_tag"):
        pointer = f"{pointer}/{context['discriminator'].strip(chr(39))}"
        message = "This field is required: it selects the type of the body."
        if error_type == "union_tag_invalid":
            message = "This value does not exist. Send one of the allowed values."
        if "expected_tags" in context:
            allowed = tuple(context["expected_tags"].replace("'", "").split(", "))
    elif error_type == "extra_forbidden":
        message = "Unknown field."
        name = location[-1] if location else ""
        close_matches = difflib.get_close_matches(name, list(field_names), 1)
        if close_matches:
            message = f"Unknown field. Did you mean `{close_matches[0]}`?"
            allowed = (close_matches[0],)
    code = PYDANTIC_CODES.get(error_type, error_type.split(".")[0])
    return FieldError(pointer, code, _to_sentence(message), allowed)


def _to_sentence(message: str) -> str:
    """Turn a message of pydantic into a sentence: "Input should be less than 5" loses its subject.

    The message is shown next to the field's name, which is the subject.
    """
    message = message.removeprefix("Value error, ").replace("Input should", "must", 1)[:200]
    message = MESSAGES.get(message, message)
    sentence = message[:1].upper() + message[1:]
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."


async def _semblance_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SemblanceError)  # noqa: S101 - registered for this class alone
    return problem_response(request, error.to_problem(), error.headers)


async def _request_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    field_names = _accepted_field_names(request, error.body)
    problem = validation_failed(error.errors(), field_names, error.body).to_problem()
    return problem_response(request, problem, {})


def _accepted_field_names(request: Request, body: Any) -> set[str]:
    """Return the field names that the route accepts in its body and query."""
    route = request.scope.get("route")
    names: set[str] = set()
    dependant = getattr(route, "dependant", None)
    if dependant is not None:
        names |= {field.alias for field in dependant.query_params}
        for field in dependant.body_params:
            names |= _body_field_names(field.field_info.annotation, body)
    return names


def _body_field_names(annotation: Any, body: Any) -> set[str]:
    """Return the field names of a body. For a union, only the branch that `kind` selects counts."""
    branches = [getattr(branch, "model_fields", {}) for branch in get_args(annotation)]
    kind = body.get("kind") if isinstance(body, dict) else None
    for fields in branches:
        if "kind" in fields and kind in get_args(fields["kind"].annotation):
            return set(fields)
    return set(getattr(annotation, "model_fields", {}))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    problem = {
        "type": f"urn:semblance:problem:{code}",
        "title": phrase,
        "status": error.status_code,
        "detail": "This path does not exist." if error.status_code == 404 else f"{phrase}.",
        "code": code,
        "retryable": False,
    }
    return problem_response(request, problem, error.headers or {})


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    """Answer 503: the database is unreachable, locked or not migrated yet, so a retry may help."""
    log.error("A database query failed.", exc_info=error)
    unavailable = Unavailable(
        "The database is not available. Retry later.",
        code="database_down",
        headers={"Retry-After": "5"},
    )
    return problem_response(request, unavailable.to_problem(), unavailable.headers)


async def _unknown_error(request: Request, error: Exception) -> JSONResponse:
    log.error(
        "Unhandled exception.",
        exc_info=error,
        extra={"request_id": request.scope.get("request_id")},
    )
    problem = {
        "type": "urn:semblance:problem:internal",
        "title": "Internal error",
        "status": 500,
        "detail": "Internal error. Quote this `request_id` when you report it.",
        "code": "internal",
        "retryable": True,
    }
    return problem_response(request, problem, {})
