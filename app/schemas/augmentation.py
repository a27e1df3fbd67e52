"""Augmentation jobs, as they cross HTTP."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.request_body import RequestModel
from app.schemas.jobs import Priority
from app.schemas.types import Name, Seed, Tags
from app.schemas.webhooks import JobWebhookOrUrl
from core.augmentation import LIFT_CPU_SECONDS, LabelPlan, Strategy


class TransformRequest(RequestModel):
    name: Literal[
        "flip",
        "rotate",
        "shift",
        "scale",
        "hue",
        "saturation",
        "brightness",
        "contrast",
        "noise",
    ]
    max_magnitude: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="how far at most: degrees of rotate and hue, else a share (flip: a chance); "
        "default: a little",
    )


class AugmentationRequest(RequestModel):
    """A larger dataset out of one: its real items, others like them by classical means, and samples
    of a model, each with its recipe. What is held out or a test part never comes into it."""

    kind: Literal["augmentation"]
    dataset: str
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="whose samples are added: `name`, `name:version` or `mdl_…`"
    )
    name: Name | None = Field(None, description="of the dataset that is made")
    strategy: Strategy = Field(
        "balance",
        description="balance: every label as large as the largest; fill_to: to `target` items; "
        "multiply: to `target` times its items",
    )
    target: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="of fill_to a number of items, of multiply a factor"
    )
    sources: (
        Annotated[
            dict[Literal["model", "transforms"], Annotated[float, Field(ge=0)]], Field(min_length=1)
        ]
        | None
    ) = Field(
        None,
        description="where made items come from, in which shares; default: half of each with a "
        "model, else transforms alone",
    )
    transforms: (
        Annotated[list[TransformRequest], Field(min_length=1, max_length=20)] | Literal["auto"]
    ) = Field(
        "auto",
        description="of images: what classical ones go through, in this order; auto: gentle ones. "
        "Classical rows lie between a row and a neighbour (SMOTE, SMOTE-NC)",
    )
    include_real: bool = Field(True, description="false: the new set has made items only")
    max_synthetic_share: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="of real and made items together, how many may be made"
    )
    holdout_fraction: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        "auto",
        description="share of the real items that is kept apart; auto: what the model's training "
        "held out; without a model a tenth, or nothing where there is a test part",
    )
    evaluate_lift: bool = Field(
        False,
        description="train a classifier on the real items, and with the made ones, and ask it "
        "about held-out real items",
    )
    lift_cpu_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        LIFT_CPU_SECONDS, description="what measuring may take; no training begins after that"
    )
    seed: Seed | None = Field(None, description="default: a random one, told in the answer")
    ignore_quality_gate: bool = Field(
        False,
        description="draw from a model that its training job's `quality_gate` does not let pass",
    )
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="a URL that is told of this job, whatever `/v1/webhooks` holds"
    )
    validate_only: bool = Field(
        False, description="answer with the plan for each label; start nothing"
    )


class AugmentationPlan(BaseModel):
    """The answer to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any]
    labels: list[LabelPlan]
    items: int = Field(description="of the new set")
    synthetic: int = Field(description="of them")
    warnings: list[str]
