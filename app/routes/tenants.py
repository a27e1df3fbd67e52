"""`/v1/tenants`: tenants, for administrators of the default tenant."""

from dataclasses import asdict
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from app.authentication import AdminScope, check_operator
from app.fairness.route import FairRoute
from app.sampling.model_cache import get_model_cache
from app.schemas.pagination import After, Limit, Page, build_page, page_size
from core import audit, tenants
from core.database import read, write
from core.own_quotas import QuotaLimit, TenantQuota
from core.request_fields import Name, RequestModel
from core.storage import get_storage
from core.tables import Tenant

router = APIRouter(prefix="/v1/tenants", tags=["operations"], route_class=FairRoute)


class NewTenant(RequestModel):
    name: Name = Field(description="Name of the tenant.")


class TenantPatch(RequestModel):
    quotas: dict[TenantQuota, QuotaLimit | None] = Field(
        description="New quotas by name, as in `GET /v1`. Null restores the service's quota."
    )


class TenantView(BaseModel):
    id: str = Field(description="Tenant id (`tnt_…`, or `default`).")
    name: str = Field(description="Name of the tenant.")
    created_at: datetime = Field(description="Time of creation.")
    suspended_at: datetime | None = Field(
        description="Time since which its keys are not valid; null for an active tenant."
    )
    quotas: dict[TenantQuota, int] = Field(
        description="Quotas of this tenant. The service's hold for those that are missing."
    )

    @classmethod
    def of(cls, tenant: Tenant) -> "TenantView":
        return cls.model_validate(tenant, from_attributes=True)


class CreatedTenant(TenantView):
    key: str = Field(description="Its first key, with all scopes. It is shown only once.")


class ErasureView(BaseModel):
    """Proof that a tenant was erased, signed by the server."""

    tenant: str = Field(description="Tenant id.")
    erased_at: str = Field(description="Time of the deletion (ISO 8601, UTC).")
    rows: dict[str, int] = Field(description="Number of deleted rows by table.")
    objects: int = Field(description="Number of deleted objects.")
    remaining_rows: int = Field(description="Rows that remained, counted afterwards.")
    remaining_objects: int = Field(description="Objects that remained, counted afterwards.")
    signature: str = Field(description="HMAC of the other fields in hexadecimal.")


@router.post("", status_code=201, response_model=CreatedTenant)
def create_tenant(request: NewTenant, caller: AdminScope) -> JSONResponse:
    """Create a tenant with a first key.

    Idempotency-Key is not supported: storing the response would store the key.
    """
    check_operator(caller)
    with write() as session:
        tenant, key = tenants.create(session, request.name)
        audit.record(session, caller, "tenant.create", tenant.id)
        view = CreatedTenant(**TenantView.of(tenant).model_dump(), key=key)
    return JSONResponse(view.model_dump(mode="json"), 201)


@router.get("", response_model=Page[TenantView])
def list_tenants(caller: AdminScope, limit: Limit = 50, after: After = None) -> Page[TenantView]:
    """List the tenants, in the order of their ids."""
    check_operator(caller)
    limit = page_size(limit)
    with read() as session:
        rows = tenants.page(session, limit=limit + 1, after=after)
    return build_page(list(rows), limit, TenantView.of)


@router.get("/{tenant_id}", response_model=TenantView)
def read_tenant(tenant_id: str, caller: AdminScope) -> TenantView:
    """Return a tenant."""
    check_operator(caller)
    with read() as session:
        return TenantView.of(tenants.get(session, tenant_id))


@router.patch("/{tenant_id}", response_model=TenantView)
def change_tenant(tenant_id: str, change: TenantPatch, caller: AdminScope) -> TenantView:
    """Change quotas of a tenant. They hold from its next request on.

    Quotas that are not sent stay as they are, and null restores the service's quota.
    """
    check_operator(caller)
    with write() as session:
        tenant = tenants.change_quotas(session, tenant_id, change.quotas)
        audit.record(session, caller, "tenant.quotas", tenant_id)
        return TenantView.of(tenant)


@router.post("/{tenant_id}/suspend", response_model=TenantView)
def suspend_tenant(tenant_id: str, caller: AdminScope) -> TenantView:
    """Suspend a tenant: its keys are not valid, and its jobs stop and do not start."""
    check_operator(caller)
    with write() as session:
        tenant = tenants.suspend(session, tenant_id)
        audit.record(session, caller, "tenant.suspend", tenant_id)
        return TenantView.of(tenant)


@router.post("/{tenant_id}/resume", response_model=TenantView)
def resume_tenant(tenant_id: str, caller: AdminScope) -> TenantView:
    """End the suspension of a tenant."""
    check_operator(caller)
    with write() as session:
        tenant = tenants.resume(session, tenant_id)
        audit.record(session, caller, "tenant.resume", tenant_id)
        return TenantView.of(tenant)


@router.delete("/{tenant_id}", response_model=ErasureView)
def erase_tenant(tenant_id: str, caller: AdminScope) -> ErasureView:
    """Delete everything that a suspended tenant has: rows, objects, keys and its audit log.

    The response is a signed proof with what was deleted and what remained.
    """
    check_operator(caller)
    erasure = tenants.erase(get_storage(), tenant_id)
    get_model_cache().remove_deleted()
    with write() as session:
        audit.record(session, caller, "tenant.erase", tenant_id)
    return ErasureView(**asdict(erasure))
