"""`/v1/keys`: who may ask, and what."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from app.authentication import AdminScope
from app.request_body import RequestModel, StrictJsonRoute
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from app.schemas.types import Name
from core import api_keys
from core.database import read, write
from core.tables import ApiKey

router = APIRouter(prefix="/v1/keys", tags=["service"], route_class=StrictJsonRoute)

Scope = Literal["read", "data", "train", "sample", "admin"]
assert set(api_keys.SCOPES) == set(Scope.__args__)  # type: ignore[attr-defined]  # noqa: S101 - in step


class NewKey(RequestModel):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=5)] = Field(
        description="`admin` allows everything"
    )


class KeyView(BaseModel):
    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyView":
        return cls.model_validate(key, from_attributes=True)


class CreatedKey(KeyView):
    key: str = Field(description="the text to send; it is not kept, and shown this once")


@router.post("", status_code=201, response_model=CreatedKey)
def create_key(request: NewKey, caller: AdminScope) -> JSONResponse:
    """Make a key. There is no Idempotency-Key here: an answer that is kept would keep the key."""
    with write() as session:
        text, key = api_keys.create(
            session,
            caller.tenant_id,
            name=request.name,
            scopes=tuple(dict.fromkeys(request.scopes)),
        )
        view = CreatedKey(**KeyView.of(key).model_dump(), key=text)
    return JSONResponse(view.model_dump(mode="json"), 201)


@router.get("", response_model=Page[KeyView])
def list_keys(caller: AdminScope, limit: Limit = 50, after: After = None) -> Page[KeyView]:
    """Newest first, revoked ones among them; never their texts."""
    limit = page_size(limit)
    with read() as session:
        rows = api_keys.page(
            session, caller.tenant_id, limit=limit + 1, after=check_cursor(after, "key")
        )
    return build_page(rows, limit, KeyView.of)


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: str, caller: AdminScope) -> None:
    """From now on the key opens nothing, and neither do the links that it made. The last key that
    may make others stays."""
    with write() as session:
        api_keys.revoke(session, caller.tenant_id, key_id)
