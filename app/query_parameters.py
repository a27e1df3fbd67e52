"""Unknown query parameters are errors, as unknown fields of a body are."""

from fastapi import Request
from fastapi.routing import APIRoute

from app import signed_urls
from app.authentication import requirement
from core.errors import ValidationFailed
from core.valid_names import unknown_name


async def reject_unknown_parameters(request: Request) -> None:
    """Raise ValidationFailed, with the nearest name, unless the route has all sent parameters.

    This is a dependency of the application. An error of the API key takes precedence.
    """
    route = request.scope.get("route")
    if not request.scope["query_string"] or not isinstance(route, APIRoute):
        return
    names = _names(route)
    sent = set(request.query_params) - names
    if not sent or not request.url.path.startswith("/v1"):
        return
    if signed_urls.match_signature(request) is not None:
        sent -= signed_urls.PARAMETERS
    if not sent:
        return
    if (required := requirement(route.dependant)) is not None:
        await required(request)
    errors = [
        unknown_name(f"/{name[:100]}", name, names, "parameter") for name in sorted(sent)[:20]
    ]
    raise ValidationFailed(
        f"{errors[0].pointer}: {errors[0].message}", code="unknown_field", field_errors=errors
    )


_names_by_id: dict[str, frozenset[str]] = {}  # by the operation's id; routes have no hash


def _names(route: APIRoute) -> frozenset[str]:
    if route.unique_id not in _names_by_id:
        _names_by_id[route.unique_id] = _collect_names(route)
    return _names_by_id[route.unique_id]


def _collect_names(route: APIRoute) -> frozenset[str]:
    dependants, names = [route.dependant], set()
    for dependant in dependants:  # grows while it is read
        names |= {field.alias for field in dependant.query_params}
        dependants += dependant.dependencies
    return frozenset(names)
