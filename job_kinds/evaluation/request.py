"""Request for an evaluation job, and the response to `validate_only`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from core.evaluation import MAX_SAMPLES, MIN_HOLDOUT_ITEMS, EvaluationSpec
from job_kinds.request import JobRequest, ModelReference, WarningView


class EvaluationRequest(JobRequest):
    """Compare samples of a model with real items that training did not use."""

    kind: Literal["evaluation"] = Field(description="Kind of the job.")
    model: ModelReference
    samples: Annotated[int, Field(ge=MIN_HOLDOUT_ITEMS, le=MAX_SAMPLES)] | Literal["auto"] = Field(
        "auto",
        description="Number of samples to evaluate. Default `auto`: the number of training items, "
        "at most 10,000 images or 24,000 rows.",
    )


class EvaluationPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = Field(
        True, description="The request can be sent without `validate_only`."
    )
    resolved: Annotated[dict[str, Any], WithJsonSchema(EvaluationSpec.model_json_schema())] = Field(
        description="The request with all defaults filled in."
    )
    warnings: list[WarningView] = Field(
        description="Warnings about the job, such as too little storage."
    )
