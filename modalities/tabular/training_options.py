"""Settings of a training job that only tables have, as requested and as resolved."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Conflict
from core.request_fields import RequestModel
from core.training import TrainingSpec
from modalities.hyperparameters import create_request_model
from modalities.tabular.options import ColumnName
from models.tabular.settings import TableSettings

TabularHyperparameters = create_request_model("TabularHyperparameters", TableSettings)


class DifferentialPrivacy(BaseModel):
    """Privacy budget (epsilon, delta) of one row, over everything that reads the training rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(gt=0, le=100, description="Bound on the privacy loss.")
    delta: float = Field(
        gt=0,
        lt=0.1,
        description="Probability that the bound does not hold. Must be less than 1 / number of "
        "training rows.",
    )
    column_domains: dict[str, dict[str, Any]] = Field(
        {},
        description="Public domain of each column, independent of the rows. Either `values` "
        "(strings, or true and false), or `min` and `max`, with `decimals` (default: 0) and "
        "optionally the common `values` between them. `missing` (default: false) allows missing "
        "values.",
    )


class TableTrainingOptions(RequestModel):
    target_column: ColumnName | None = Field(
        None,
        description="Tables only: the column whose values are the labels. Default: the dataset's "
        "target, or none with `conditional: false`.",
    )
    differential_privacy: DifferentialPrivacy | None = Field(
        None,
        description="Tables only: train with differential privacy. Options that `epsilon` does not "
        "cover are rejected. Default: none.",
    )


class TableTrainingSpec(TrainingSpec):
    target_column: str | None = Field(None, description="Column with the labels.")
    differential_privacy: DifferentialPrivacy | None = Field(
        None, description="Privacy budget of the training."
    )

    def check_evaluable(self) -> None:
        if self.differential_privacy is not None:
            raise Conflict(
                "A model that was trained with `differential_privacy` cannot be evaluated: an "
                "evaluation reads rows that epsilon does not cover.",
                code="not_covered_by_dp",
            )
