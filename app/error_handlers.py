"""Exception handlers that turn every error into a problem document (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from core.errors import SemblanceError, Unavailable
from core.validation_errors import validation_failed

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    app.add_exception_handler(SemblanceError, _semblance_error)
    app.add_exception_handler(RequestValidationError, _request_error)
    app.add_exception_handler(HTTPException, _http_error)
    for error_class in (OperationalError, InterfaceError, ProgrammingError, TimeoutError):
        app.add_exception_handler(error_class, _database_error)
    app.add_exception_handler(ClientDisconnect, _client_disconnect)
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
    details = {
        404: "This path does not exist.",
        405: f"This path has no {request.method}. The header `Allow` lists its methods.",
    }
    problem = {
        "type": f"urn:semblance:problem:{code}",
        "title": phrase.capitalize(),
        "status": error.status_code,
        "detail": details.get(error.status_code, f"{phrase.capitalize()}."),
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


async def _client_disconnect(_request: Request, _error: Exception) -> Response:
    """Return a response that nobody receives; the body of the request did not arrive."""
    return Response(status_code=400)


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
