"""Errors become problem documents (RFC 9457), here and nowhere else."""

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

# Codes of pydantic's that clients should not have to learn.
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
MAX_FIELD_ERRORS = 20


def install(app: FastAPI) -> None:
    app.add_exception_handler(SemblanceError, _semblance_error)
    app.add_exception_handler(RequestValidationError, _request_error)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in (OperationalError, InterfaceError, ProgrammingError):
        app.add_exception_handler(kind, _database_error)
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
    """The faults of a body or query that pydantic refused; input values are not repeated."""
    found = [_field_error(error, field_names, body) for error in errors]
    # A value that fits no branch of a union has a fault for each: one is enough.
    faults = list({fault.pointer: fault for fault in reversed(found)}.values())[::-1]
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ValidationFailed(
        f"{first.pointer or 'the body'}: {first.message}{more}",
        code="unknown_field" if first.code == "unknown_field" else "invalid",
        field_errors=faults[:MAX_FIELD_ERRORS],
    )


def body_validation_failed(
    error: ValidationError, body: Any, field_names: Iterable[str] = ()
) -> ValidationFailed:
    """Of a body that was validated by hand."""
    return validation_failed(
        error.errors(include_input=False, include_url=False), field_names, body
    )


def _location(error: ErrorDetails, body: Any) -> list[str]:
    """Where in the request: pydantic's own marks, such as the branch of a union, are left out."""
    parts: list[str] = []
    for i, part in enumerate(error["loc"]):
        if i == 0 and part in {"body", "query", "path", "header"}:
            if part != "body":
                return [str(later) for later in error["loc"][1:]]
            continue
        inside = isinstance(body, dict) and part in body
        inside = inside or (isinstance(body, list) and isinstance(part, int) and part < len(body))
        if inside:
            body = body[part]
        elif error["type"] != "missing" or i + 1 < len(error["loc"]):
            continue
        parts.append(str(part))
    return parts


def _field_error(error: ErrorDetails, known: Iterable[str], body: Any) -> FieldError:
    kind, context = error["type"], error.get("ctx", {})
    location = _location(error, body)
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in location)
    message = error["msg"]
    allowed: tuple[str, ...] | None = None
    if kind.startswith("union_tag"):  # of several bodies, none is named
        pointer = f"{pointer}/{context['discriminator'].strip(chr(39))}"
        message = "names no kind of body"
        if "expected_tags" in context:
            allowed = tuple(context["expected_tags"].replace("'", "").split(", "))
    elif kind == "extra_forbidden":
        message = "unknown field"
        near = difflib.get_close_matches(location[-1] if location else "", list(known), 1)
        if near:
            message, allowed = f"unknown field; did you mean {near[0]}?", (near[0],)
    elif "ge" in context or "gt" in context or "le" in context or "lt" in context:
        message = message.removeprefix("Input ")
    return FieldError(pointer, PYDANTIC_CODES.get(kind, kind.split(".")[0]), message[:200], allowed)


async def _semblance_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SemblanceError)  # noqa: S101 - registered for this class alone
    return problem_response(request, error.to_problem(), error.headers)


async def _request_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    known = _fields_of(request, error.body)
    problem = validation_failed(error.errors(), known, error.body).to_problem()
    return problem_response(request, problem, {})


def _fields_of(request: Request, body: Any) -> set[str]:
    """The names that the route's body and query know, to suggest the nearest."""
    route = request.scope.get("route")
    names: set[str] = set()
    dependant = getattr(route, "dependant", None)
    if dependant is not None:
        names |= {field.alias for field in dependant.query_params}
        for field in dependant.body_params:
            names |= _names(field.field_info.annotation, body)
    return names


def _names(annotation: Any, body: Any) -> set[str]:
    """The fields of a body; where it has kinds, of the kind that was sent."""
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
        "detail": "there is nothing here" if error.status_code == 404 else phrase,
        "code": code,
        "retryable": False,
    }
    return problem_response(request, problem, error.headers or {})


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    """The database is away, locked, or not migrated yet: the caller may try again."""
    log.error("the database failed", exc_info=error)
    unavailable = Unavailable(
        "the database does not answer", code="database_down", headers={"Retry-After": "5"}
    )
    return problem_response(request, unavailable.to_problem(), unavailable.headers)


async def _unknown_error(request: Request, error: Exception) -> JSONResponse:
    log.error("unhandled", exc_info=error, extra={"request_id": request.scope.get("request_id")})
    problem = {
        "type": "urn:semblance:problem:internal",
        "title": "Internal error",
        "status": 500,
        "detail": "something went wrong here; the log has it under this request id",
        "code": "internal",
        "retryable": True,
    }
    return problem_response(request, problem, {})
