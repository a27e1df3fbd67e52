"""Quotas of single tenants and API keys, which take the place of the service's settings."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.errors import ValidationFailed
from core.settings import Quotas, get_settings
from core.tables import Tenant

T = TypeVar("T")

TenantQuota = Literal[
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
KeyQuota = Literal[
    "key_requests_per_minute", "key_samples_per_minute", "key_concurrent_samples", "key_streams"
]
MAX_LIMIT = 10**15
QuotaLimit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]

OF_TENANT = select(Tenant.quotas).where(Tenant.id == bindparam("tenant_id"))


def effective(*own: Mapping[str, int] | None) -> Quotas:
    """Return the service's quotas, with those of a tenant and of a key in their place."""
    quotas = get_settings().quotas
    changes = {name: limit for each in own for name, limit in (each or {}).items()}
    return quotas.model_copy(update=changes) if changes else quotas


def of_tenant(session: Session, tenant_id: str) -> Quotas:
    return effective(session.scalar(OF_TENANT, {"tenant_id": tenant_id}))


def changed(own: Mapping[str, int], changes: Mapping[Any, int | None]) -> dict[str, int]:
    """Return own quotas after changes, of which None restores the service's quota."""
    both: dict[str, int | None] = {**own, **changes}
    return {name: limit for name, limit in both.items() if limit is not None}


def check_of_tenant(quotas: Mapping[str, int | None]) -> dict[TenantQuota, int | None]:
    """Return new quotas of a tenant. Raises ValidationFailed for a wrong name or limit."""
    return _check(TypeAdapter(dict[TenantQuota, QuotaLimit | None]), quotas, get_args(TenantQuota))


def check_of_key(quotas: Mapping[str, int | None]) -> dict[KeyQuota, int | None]:
    """Return new quotas of a key. Raises ValidationFailed for a wrong name or limit."""
    return _check(TypeAdapter(dict[KeyQuota, QuotaLimit | None]), quotas, get_args(KeyQuota))


def _check(adapter: TypeAdapter[T], quotas: object, names: Iterable[str]) -> T:
    try:
        return adapter.validate_python(quotas)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ValidationFailed(
            f"`{name[:100]}` is not a quota, or its limit is not a number from 1 to {MAX_LIMIT}. "
            f"Quotas: {', '.join(names)}."
        ) from error
