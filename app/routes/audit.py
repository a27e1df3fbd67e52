"""`/v1/audit`: the audit log of the tenant."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.authentication import AdminScope
from app.fairness.route import FairRoute
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from core import audit
from core.database import read
from core.tables import AuditEntry

router = APIRouter(prefix="/v1/audit", tags=["operations"], route_class=FairRoute)


class AuditView(BaseModel):
    id: str = Field(description="Entry id (`aud_…`).")
    key: str = Field(
        description="Id of the key of the request, or `command-line`. Of a signed URL, the key "
        "that signed it."
    )
    action: str = Field(
        description="Kind of the change or download, such as `dataset.delete` or "
        "`dataset.download`."
    )
    resource: str = Field(description="Id of the resource, or its name.")
    request_id: str | None = Field(description="Id of the request in the service's log.")
    created_at: datetime = Field(description="Time of the request.")

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditView":
        return cls(
            id=entry.id,
            key=entry.key_id,
            action=entry.action,
            resource=entry.resource,
            request_id=entry.request_id,
            created_at=entry.created_at,
        )


@router.get("", response_model=Page[AuditView])
def list_audit_entries(
    caller: AdminScope,
    limit: Limit = 50,
    after: After = None,
    key: Annotated[
        str | None, Query(description="Only entries of this key (id). Default: all.")
    ] = None,
    resource: Annotated[
        str | None, Query(description="Only entries of this resource (id). Default: all.")
    ] = None,
    action: Annotated[
        str | None, Query(description="Only this kind of entry. Default: all.")
    ] = None,
) -> Page[AuditView]:
    """List the changes and downloads by API keys, newest first.

    Downloads are those of datasets and of models, also by signed URLs. Entries are never changed or
    deleted.
    """
    limit = page_size(limit)
    with read() as session:
        rows = audit.page(
            session,
            caller.tenant_id,
            limit=limit + 1,
            after=check_cursor(after, "aud"),
            key=key,
            resource=resource,
            action=action,
        )
    return build_page(list(rows), limit, AuditView.of)
