"""Sample manifests: signed references to sets of samples.

Any service with the model's weights can generate the set again or verify the manifest.
"""

import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.authentication import ReadScope, SampleScope
from app.fairness.route import FairRoute
from core import api_keys, model_registry, server_secret
from core.database import read
from core.request_fields import RequestModel
from core.tables import ApiKey
from job_kinds.generation.request import SampleSelection
from modalities import registry

router = APIRouter(prefix="/v1", tags=["samples"], route_class=FairRoute)


class SampleManifest(RequestModel):
    """Reference to a set of samples.

    Item i of the set is sample i of `request`, generated with weights of this hash. For a part of
    the set, increase `offset` and reduce the count.
    """

    format: Literal[1] = Field(1, description="Version of the manifest format.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the model's weights in hexadecimal."
    )
    modality: registry.ModalityName = Field(description="Kind of data.")
    step: int = Field(description="Training step of the weights.")
    request: dict[str, Any] = Field(description="Body for the `samples` route, with the seed.")
    count: int = Field(description="Number of samples.")
    created_at: str = Field(description="Time of creation (ISO 8601, UTC).")


class SignedSampleManifest(RequestModel):
    manifest: SampleManifest = Field(description="The signed manifest.")
    key_id: Annotated[str, Field(max_length=64)] = Field(
        description="Id of the API key that created the manifest."
    )
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="HMAC of the manifest in hexadecimal."
    )


class VerificationResult(BaseModel):
    valid: bool = Field(
        description="Whether this service signed the manifest for this tenant, unchanged."
    )
    models: list[str] = Field(
        description="Ids of models with these weights: any of them can generate the set."
    )


@router.post("/models/{reference}/sample-manifests", response_model=SignedSampleManifest)
def create_sample_manifest(
    reference: str, request: SampleSelection, caller: SampleScope
) -> SignedSampleManifest:
    """Create a manifest of the set that a request generates, without generating it.

    The set may have any size. Nothing is stored.
    """
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        key = _get_key(session, caller.key_id)
    seed = secrets.randbits(63) if request.seed is None else request.seed
    modality = registry.get(model.modality)
    options = registry.own_options(request, modality, "selection_options")
    plan = modality.plan_selection(model.manifest, request, options, seed)
    manifest = SampleManifest.model_validate(
        {
            "sha256": model.weights["sha256"],
            "modality": model.modality,
            "step": model.step,
            "request": request.model_dump(exclude_defaults=True) | {"seed": seed},
            "count": plan.count,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    signature = server_secret.sign(_signed_text(key.id, manifest))
    return SignedSampleManifest(manifest=manifest, key_id=key.id, signature=signature)


@router.post("/sample-manifests/verify", response_model=VerificationResult)
def verify_sample_manifest(signed: SignedSampleManifest, caller: ReadScope) -> VerificationResult:
    """Verify a sample manifest, and list the models that can generate its set."""
    with read() as session:
        key = api_keys.get(session, signed.key_id)
        models = model_registry.find_by_weights(session, caller.tenant_id, signed.manifest.sha256)
    is_own = key is not None and key.tenant_id == caller.tenant_id
    text = _signed_text(signed.key_id, signed.manifest)
    valid = server_secret.is_signature(text, signed.signature) and is_own
    return VerificationResult(valid=valid, models=[model.id for model in models])


def _get_key(session: Session, key_id: str) -> ApiKey:
    key = api_keys.get(session, key_id)
    assert key is not None  # noqa: S101 - the caller is authenticated
    return key


def _signed_text(key_id: str, manifest: SampleManifest) -> str:
    return f"sample-manifest {key_id} " + json.dumps(manifest.model_dump(), sort_keys=True)
