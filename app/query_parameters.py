"""Unknown query parameters are errors, as unknown fields of a body are."""

from collections.abc import Set

from fastapi import Request
from fastapi.dependencies.models import Dependant

from app import signed_urls
from core.errors import ValidationFailed
from core.valid_names import unknown_name


def parameter_names(dependant: Dependant) -> frozenset[str]:
    """Return the names of the query parameters of a route and its dependencies."""
    dependants, names = [dependant], set()
    for each in dependants:  # grows while it is read
        names |= {field.alias for field in each.query_params}
        dependants += each.dependencies
    return frozenset(names)


def reject_unknown_parameters(request: Request, names: Set[str]) -> None:
    """Raise ValidationFailed, with the nearest of the names, if another parameter was sent."""
    sent = set(request.query_params) - names
    if sent and signed_urls.match_signature(request) is not None:
        sent -= signed_urls.PARAMETERS
    if sent:
        errors = [
            unknown_name(f"/{name[:100]}", name, names, "parameter") for name in sorted(sent)[:20]
        ]
        raise ValidationFailed(
            f"{errors[0].pointer}: {errors[0].message}", code="unknown_field", field_errors=errors
        )
