"""Exception handlers that turn every error into a problem document (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from app.fairness.route import route_threads
from core.errors import NotFound, SemblanceError, Unavailable
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
    problem = error.to_problem()
    if isinstance(error, NotFound) and error.suggest is not None:
        caller = getattr(request.state, "caller", None)
        if caller is not None and caller.scopes & {"read", "admin"}:  # it may list names
            suggestion = await route_threads.run(caller.tenant_id, error.suggest)
            problem["detail"] = f"{problem['detail']} {suggestion}".rstrip()
    return problem_response(request, problem, error.headers)


async def _request_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    dependant = getattr(request.scope.get("route"), "dependant", None)
    bodies = dependant.body_params if dependant is not None else []
    annotation = bodies[0].field_info.annotation if bodies else None
    problem = validation_failed(error.errors(), annotation, error.body).to_problem()
    return problem_response(request, problem, {})


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
