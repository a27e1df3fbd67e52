"""Route of the API: first the key, then the parameters and the body, then the endpoint.

FastAPI runs an endpoint that is not a coroutine in a thread of anyio, in order of arrival: a
hundred slow requests of one tenant would take all of them.
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, TypeVar, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import ErrorDetails

from app import strict_json
from app.authentication import Caller, requirement
from app.fairness.turns import FairThreads
from app.query_parameters import parameter_names, reject_unknown_parameters
from app.request_body import read_body
from app.request_owner import STRANGERS
from core.errors import UnsupportedMedia
from core.validation_errors import validation_failed

T = TypeVar("T")

# Parsed in the event loop, which takes a few milliseconds at most. A body of a megabyte can have
# 100,000 invalid values, which take seconds.
SMALL_BODY_BYTES = 4_096
# Two of the heaviest tenant, because one may wait for a long time for a file that is read.
route_threads = FairThreads(40, per_owner=30, of_heaviest=2)
# Parse and validate larger bodies. The errors of a megabyte take up to 120 MiB of memory.
_body_threads = FairThreads(4, per_owner=3)


class FairRoute(APIRoute):
    """Route that checks the key before it reads a body, and parses JSON with `app.strict_json`.

    An endpoint that is not a coroutine runs in a thread of the caller's tenant.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            endpoint = _in_thread(endpoint)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, required = super().get_route_handler(), requirement(self.dependant)
        names = parameter_names(self.dependant)

        async def check_and_handle(request: Request) -> Response:
            owner = STRANGERS
            if required is not None:
                owner = (await required(request)).tenant_id
            if self.path.startswith("/v1"):
                reject_unknown_parameters(request, names)
            if self.body_field is not None:
                # FastAPI reads both again, but the stream is consumed then.
                request._body = await read_body(request)
                content_type = request.headers.get("content-type", "").partition(";")[0].strip()
                if request._body and content_type != "application/json":
                    raise UnsupportedMedia(
                        "The body must be JSON with Content-Type: application/json."
                    )
                if len(request._body) <= SMALL_BODY_BYTES:
                    request._json = strict_json.loads(request._body)
                else:
                    request._json = await _body_threads.run(owner, self._parse, request._body)
            return await handle(request)

        return check_and_handle

    def _parse(self, body: bytes) -> Any:
        """Return the validated body, whose fields FastAPI does not validate again.

        Raises:
            ValidationFailed: Fields are not valid.
        """
        document, field = strict_json.loads(body), self.body_field
        if field is None or document is None:
            return document
        value, errors = field.validate(document, loc=("body",))
        if errors:
            details = cast("list[ErrorDetails]", errors)  # of pydantic
            failed = validation_failed(details, field.field_info.annotation, document)
            # The traceback would keep these values, and the event loop would delete them.
            del document, value, errors, details
            raise failed
        return value


def _in_thread(endpoint: Callable[..., T]) -> Callable[..., Any]:
    @wraps(endpoint)  # FastAPI reads its parameters
    async def run(**arguments: Any) -> T:
        callers = (value for value in arguments.values() if isinstance(value, Caller))
        tenant_id = next((caller.tenant_id for caller in callers), STRANGERS)
        return await route_threads.run(tenant_id, partial(endpoint, **arguments))

    return run
