"""`/v1/keys`: API keys and their scopes."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from app.authentication import AdminScope, AnyScope
from app.fairness.route import FairRoute
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from core import api_keys, audit
from core.database import read, write
from core.own_quotas import KeyQuota, QuotaLimit
from core.request_fields import Name, RequestModel
from core.tables import ApiKey

router = APIRouter(prefix="/v1/keys", tags=["service"], route_class=FairRoute)

Scope = Literal["read", "data:read", "data", "train", "sample", "webhooks", "admin"]
assert set(api_keys.SCOPES) == set(Scope.__args__)  # type: ignore[attr-defined]  # noqa: S101 - kept in sync


class NewKey(RequestModel):
    name: Name = Field(description="Name of the key.")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=7)] = Field(
        description="Scopes of the key. `read`: metadata, samples in files and reports. "
        "`data:read`: training data, weights, and reports with real items. `data`: change "
        "datasets. `train`: train and change models. `sample`: sample, and read the jobs that the "
        "key created. `webhooks`: jobs with a webhook. `admin`: all of these, keys and the audit "
        "log."
    )
    expires_in_s: Annotated[int, Field(ge=60, le=366 * 86_400)] | None = Field(
        None, description="Seconds until the key expires, at most 366 days. Default: never."
    )
    quotas: dict[KeyQuota, QuotaLimit] = Field(
        default_factory=dict,
        description="Quotas of this key by name, as in `GET /v1`. Default: those of the service. "
        "The quotas of the tenant hold for all of its keys together.",
    )


class KeyPatch(RequestModel):
    quotas: dict[KeyQuota, QuotaLimit | None] = Field(
        description="New quotas of this key by name. Null restores the service's quota."
    )


class KeyRotation(RequestModel):
    overlap_s: Annotated[int, Field(ge=0, le=72 * 3_600)] = Field(
        3_600, description="Seconds until the old key expires, at most 72 hours. Default: 3600."
    )


class KeyView(BaseModel):
    id: str = Field(description="Key id (`key_…`).")
    name: str = Field(description="Name of the key.")
    scopes: list[Scope] = Field(description="Scopes of the key.")
    created_at: datetime = Field(description="Time of creation.")
    expires_at: datetime | None = Field(description="Time of expiry; null for a permanent key.")
    revoked_at: datetime | None = Field(description="Time of revocation; null for a valid key.")
    last_used_at: datetime | None = Field(
        description="Time of the last request with the key, at most a minute old; null if there "
        "was none."
    )
    quotas: dict[KeyQuota, int] = Field(
        description="Quotas of this key. The service's hold for those that are missing."
    )

    @classmethod
    def of(cls, key: ApiKey) -> "KeyView":
        return cls.model_validate(key, from_attributes=True)


class CreatedKey(KeyView):
    key: str = Field(description="The key itself. It is not stored and is shown only once.")


@router.post("", status_code=201, response_model=CreatedKey)
def create_key(request: NewKey, caller: AdminScope) -> JSONResponse:
    """Create a key.

    Idempotency-Key is not supported: storing the response would store the key.
    """
    with write() as session:
        key_text, key = api_keys.create(
            session,
            caller.tenant_id,
            name=request.name,
            scopes=tuple(dict.fromkeys(request.scopes)),
            lifetime=None
            if request.expires_in_s is None
            else timedelta(seconds=request.expires_in_s),
            quotas=request.quotas,
        )
        audit.record(session, caller, "key.create", key.id)
        view = CreatedKey(**KeyView.of(key).model_dump(), key=key_text)
    return JSONResponse(view.model_dump(mode="json"), 201)


@router.get("", response_model=Page[KeyView])
def list_keys(
    caller: AdminScope,
    limit: Limit = 50,
    after: After = None,
    expired: Annotated[
        bool, Query(description="Also list keys that have expired. Default: false.")
    ] = False,
) -> Page[KeyView]:
    """List the keys, newest first and including revoked ones, without the keys themselves."""
    limit = page_size(limit)
    with read() as session:
        rows = api_keys.page(
            session,
            caller.tenant_id,
            limit=limit + 1,
            after=check_cursor(after, "key"),
            include_expired=expired,
        )
    return build_page(rows, limit, KeyView.of)


@router.get("/self", response_model=KeyView)
def read_own_key(caller: AnyScope) -> KeyView:
    """Return the key that sends the request, and its scopes."""
    with read() as session:
        key = api_keys.get(session, caller.key_id)
    assert key is not None  # noqa: S101 - the caller is authenticated
    return KeyView.of(key)


@router.patch("/{key_id}", response_model=KeyView)
def change_key(key_id: str, change: KeyPatch, caller: AdminScope) -> KeyView:
    """Change quotas of a key. They hold from its next request on.

    Quotas that are not sent stay as they are, and null restores the service's quota.
    """
    with write() as session:
        key = api_keys.change_quotas(session, caller.tenant_id, key_id, change.quotas)
        audit.record(session, caller, "key.quotas", key_id)
        return KeyView.of(key)


@router.post("/{key_id}/rotate", status_code=201, response_model=CreatedKey)
def rotate_key(key_id: str, request: KeyRotation, caller: AdminScope) -> JSONResponse:
    """Replace a key: create one with the same name, scopes, lifetime and quotas.

    The old key expires after `overlap_s`, so that its users can change to the new one.
    Idempotency-Key is not supported: storing the response would store the key.
    """
    with write() as session:
        overlap = timedelta(seconds=request.overlap_s)
        key_text, key = api_keys.rotate(session, caller.tenant_id, key_id, overlap)
        audit.record(session, caller, "key.rotate", key_id)
        audit.record(session, caller, "key.create", key.id)
        view = CreatedKey(**KeyView.of(key).model_dump(), key=key_text)
    return JSONResponse(view.model_dump(mode="json"), 201)


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: str, caller: AdminScope) -> None:
    """Revoke a key and the signed URLs that it created.

    The last key that can create other keys cannot be revoked.
    """
    with write() as session:
        audit.record(session, caller, "key.revoke", key_id)
        api_keys.revoke(session, caller.tenant_id, key_id)
