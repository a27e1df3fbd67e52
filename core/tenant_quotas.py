"""Quotas of single tenants, which take the place of the service's settings."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.errors import ValidationFailed
from core.settings import Quotas, get_settings
from core.tables import Tenant

QuotaName = Literal[
    "requests_per_minute",
    "samples_per_minute",
    "concurrent_samples",
    "streams",
    "uploads",
    "upload_bytes",
    "waiting_jobs",
    "running_jobs",
    "stored_bytes",
    "compute_seconds_per_day",
]
MAX_LIMIT = 10**15
QuotaLimit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
_QUOTAS = TypeAdapter(dict[QuotaName, QuotaLimit | None])

OWN_QUOTAS = select(Tenant.quotas).where(Tenant.id == bindparam("tenant_id"))


def effective(own: Mapping[str, int] | None) -> Quotas:
    """Return the service's quotas, with a tenant's own ones in their place."""
    quotas = get_settings().quotas
    return quotas.model_copy(update=own) if own else quotas


def of_tenant(session: Session, tenant_id: str) -> Quotas:
    return effective(session.scalar(OWN_QUOTAS, {"tenant_id": tenant_id}))


def check_quotas(quotas: Mapping[str, int | None]) -> dict[QuotaName, QuotaLimit | None]:
    """Return new quotas of a tenant if their names and limits are valid.

    Raises:
        ValidationFailed: A name is unknown, or a limit is out of range.
    """
    try:
        return _QUOTAS.validate_python(quotas)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ValidationFailed(
            f"`{name[:100]}` is not a quota, or its limit is not a number from 1 to {MAX_LIMIT}. "
            f"Quotas: {', '.join(get_args(QuotaName))}."
        ) from error
