"""Request for an augmentation job, and the response to `validate_only`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from core.augmentation import LIFT_CPU_SECONDS, AugmentationSpec, LabelPlan, Strategy
from core.request_fields import Name
from job_kinds.request import JobRequest, WarningView
from modalities import registry


@registry.extend("augmentation_options")
class AugmentationRequest(JobRequest):
    """Create a larger dataset from real items, transformed real items and samples of a model.

    Every item has a provenance record. Holdout items and the test split are never used.
    """

    kind: Literal["augmentation"] = Field(description="Kind of the job.")
    dataset: str = Field(description="Id of the dataset to augment (`ds_…`).")
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="Model whose samples are added: `name`, `name:version`, `name@alias` or "
        "`mdl_…`. Default: none.",
    )
    name: Name | None = Field(
        None, description="Name of the new dataset. Default: the dataset's name and `augmented`."
    )
    strategy: Strategy = Field(
        "balance",
        description="`balance` (default) raises every label to the size of the largest one, "
        "`fill_to` raises every label to `target` items, and `multiply` raises every label to "
        "`target` times its real items.",
    )
    target: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None,
        description="Number of items per label for `fill_to`, or a factor for `multiply`. Not "
        "allowed with `balance`.",
    )
    sources: (
        Annotated[
            dict[Literal["model", "transforms"], Annotated[float, Field(ge=0)]], Field(min_length=1)
        ]
        | None
    ) = Field(
        None,
        description="Relative weight of each source of synthetic items. Default: equal weights if "
        "`model` is given, otherwise only `transforms`.",
    )
    include_real: bool = Field(
        True,
        description="Include the real items in the new dataset. Default: true. With false, the "
        "new dataset has synthetic items only.",
    )
    max_synthetic_share: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="Largest fraction of synthetic items among real and synthetic items together. "
        "Default: 1 (no limit).",
    )
    holdout_fraction: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        "auto",
        description="Fraction of the real items to hold out. Must be `auto` if `model` was trained "
        "on the same dataset: its holdout is then used again. Otherwise `auto` (default) is 0 "
        "for a dataset with a test split and 0.1 for one without.",
    )
    evaluate_lift: bool = Field(
        False,
        description="Train a classifier on the real items and another one on real and synthetic "
        "items, and compare both on held-out real items. Default: false.",
    )
    lift_cpu_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        LIFT_CPU_SECONDS,
        description="CPU time in seconds for `evaluate_lift`. No further classifier is trained "
        f"after that. Default: {LIFT_CPU_SECONDS:g}.",
    )
    ignore_quality_gate: bool = Field(
        False,
        description="Use the model even if it fails the `quality_gate` of its training job. "
        "Default: false.",
    )


class AugmentationPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = Field(
        True, description="The request can be sent without `validate_only`."
    )
    resolved: Annotated[dict[str, Any], WithJsonSchema(AugmentationSpec.model_json_schema())] = (
        Field(description="The request with all defaults filled in.")
    )
    labels: list[LabelPlan] = Field(description="Planned number of items per label and source.")
    items: int = Field(description="Number of items in the new dataset.")
    synthetic: int = Field(description="Number of synthetic items among `items`.")
    warnings: list[WarningView] = Field(
        description="Warnings about the dataset, the model and the plan."
    )
