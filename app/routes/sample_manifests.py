"""Sample manifests: sets of any size by reference, which whoever has the model can draw or check."""

import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.authentication import ReadScope
from app.authentication import SampleScope as SamplerCaller
from app.request_body import RequestModel, StrictJsonRoute
from app.schemas.samples import SampleSelection, check_selection
from core import api_keys, model_registry
from core.database import read
from core.tables import ApiKey

router = APIRouter(prefix="/v1", tags=["samples"], route_class=StrictJsonRoute)


class SampleManifest(RequestModel):
    """Item i of the set is item i of what `request` draws from weights with this hash; a part of it
    is the same request with a larger `offset` and a smaller count."""

    format: Literal[1] = 1
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(description="of the weights")
    modality: Literal["image", "tabular"]
    step: int
    request: dict[str, Any] = Field(description="a body for `samples`, its seed included")
    count: int
    created_at: str


class SignedSampleManifest(RequestModel):
    manifest: SampleManifest
    key_id: Annotated[str, Field(max_length=64)] = Field(
        description="id of the key that asked for it"
    )
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class VerificationResult(BaseModel):
    valid: bool = Field(description="made here, for this tenant, and not changed since")
    models: list[str] = Field(description="here with these weights: draw the set from any of them")


@router.post("/models/{reference}/sample-manifests", response_model=SignedSampleManifest)
def create_sample_manifest(
    reference: str, request: SampleSelection, caller: SamplerCaller
) -> SignedSampleManifest:
    """Name the set that a request draws, of any size, without drawing it. Nothing is stored."""
    check_selection(request)
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        key = _key(session, caller.key_id)
    from app.sampling import request_parser  # numpy, pyarrow: they may still be loading

    seed = secrets.randbits(63) if request.seed is None else request.seed
    of_kind = (
        request_parser.parse_image_request
        if model.modality == "image"
        else request_parser.parse_row_request
    )
    receipt = SampleManifest.model_validate(
        {
            "sha256": model.weights["sha256"],
            "modality": model.modality,
            "step": model.step,
            "request": request.model_dump(exclude_defaults=True) | {"seed": seed},
            "count": of_kind(model, request, seed).count,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    signature = api_keys.sign(key, _text(receipt))
    return SignedSampleManifest(manifest=receipt, key_id=key.id, signature=signature)


@router.post("/sample-manifests/verify", response_model=VerificationResult)
def verify_sample_manifest(signed: SignedSampleManifest, caller: ReadScope) -> VerificationResult:
    """Whether a sample manifest is one of this service, and which models here can draw its set."""
    with read() as session:
        key = api_keys.get(session, signed.key_id)
        found = model_registry.find_by_weights(session, caller.tenant_id, signed.manifest.sha256)
    expected = ""
    if key is not None and key.tenant_id == caller.tenant_id:
        expected = api_keys.sign(key, _text(signed.manifest))
    valid = hmac.compare_digest(expected, signed.signature)
    return VerificationResult(valid=valid, models=[model.id for model in found])


def _key(session: Session, key_id: str) -> ApiKey:
    key = api_keys.get(session, key_id)
    assert key is not None  # noqa: S101 - it has just been authenticated
    return key


def _text(receipt: SampleManifest) -> str:
    return "sample-manifest " + json.dumps(receipt.model_dump(), sort_keys=True)
