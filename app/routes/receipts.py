"""Receipts: sets of any size by reference, which whoever has the model can draw or check."""

import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.authentication import Reader
from app.authentication import Sampler as SamplerCaller
from app.schemas.samples import Asked, check
from app.strict import Strict, StrictRoute
from core import keys, registry
from core.database import read
from core.tables import Key

router = APIRouter(prefix="/v1", tags=["samples"], route_class=StrictRoute)


class Receipt(Strict):
    """Item i of the set is item i of what `request` draws from weights with this hash; a part of it
    is the same request with a larger `offset` and a smaller count."""

    format: Literal[1] = 1
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="of the weights")
    kind: Literal["images", "rows"]
    step: int
    request: dict[str, Any] = Field(description="a body for `samples`, its seed included")
    count: int
    made_at: str


class SignedReceipt(Strict):
    receipt: Receipt
    key: Annotated[str, Field(max_length=64)] = Field(description="id of the key that asked for it")
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Verdict(BaseModel):
    valid: bool = Field(description="made here, for this tenant, and not changed since")
    models: list[str] = Field(description="here with these weights: draw the set from any of them")


@router.post("/models/{reference}/receipts", response_model=SignedReceipt)
def create_receipt(reference: str, wanted: Asked, caller: SamplerCaller) -> SignedReceipt:
    """Name the set that a request draws, of any size, without drawing it. Nothing is stored."""
    check(wanted)
    with read() as session:
        model = registry.get(session, caller.tenant_id, reference)
        key = _key(session, caller.key_id)
    from app.sampling import asked  # numpy, pyarrow: they may still be loading

    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
    of_kind = asked.images if model.kind == "images" else asked.rows
    receipt = Receipt.model_validate(
        {
            "sha256": model.weights["sha256"],
            "kind": model.kind,
            "step": model.step,
            "request": wanted.model_dump(exclude_defaults=True) | {"seed": seed},
            "count": of_kind(model, wanted, seed).count,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    signature = keys.signature(key, _text(receipt))
    return SignedReceipt(receipt=receipt, key=key.id, signature=signature)


@router.post("/receipts/verify", response_model=Verdict)
def verify_receipt(signed: SignedReceipt, caller: Reader) -> Verdict:
    """Whether a receipt is one of this service, and which models here can draw its set."""
    with read() as session:
        key = keys.get(session, signed.key)
        found = registry.with_weights(session, caller.tenant_id, signed.receipt.sha256)
    expected = ""
    if key is not None and key.tenant_id == caller.tenant_id:
        expected = keys.signature(key, _text(signed.receipt))
    valid = hmac.compare_digest(expected, signed.signature)
    return Verdict(valid=valid, models=[model.id for model in found])


def _key(session: Session, key_id: str) -> Key:
    key = keys.get(session, key_id)
    assert key is not None  # noqa: S101 - it has just been authenticated
    return key


def _text(receipt: Receipt) -> str:
    return "receipt " + json.dumps(receipt.model_dump(), sort_keys=True)
