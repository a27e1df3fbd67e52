"""Response bodies of evaluation reports."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.schemas.jobs import JobProblem
from app.schemas.models import EvaluationState
from job_kinds.results import Interval

Point = Interval  # two coordinates


class ScoreView(BaseModel):
    name: str = Field(description="Name of the score.")
    value: float = Field(description="Value of the samples.")
    ci95: Interval = Field(description="95 % confidence interval: lower and upper bound.")
    direction: Literal["higher", "lower", "target"] = Field(
        description="Whether `higher` or `lower` values are better, or values near `target`."
    )
    target: float | None = Field(None, description="The best value, where `direction` is target.")
    real_reference: float | None = Field(
        description="Score of an equal number of real training items instead of samples. For "
        "`label_accuracy`, `unseen_pair_rate` and `relation_violation_rate`, of real items that "
        "training did not use."
    )
    naive_baseline: float | None = Field(description="Score of samples of a naive method.")
    per_label: dict[str, float] = Field(
        description="Scores by label, for labels with at least 10 items (`label_tvd`: 20 unseen "
        "real rows). For `pairwise_tvd`, `marginal_tvd`, `global_utility` and "
        "`unseen_pair_rate`, by column."
    )


class VerdictView(BaseModel):
    verdict: Literal["good", "poor", "collapsed", "memorized"] = Field(
        description="Conclusion from all scores."
    )
    quality: Literal["good", "poor"] = Field(description="`good` only with the verdict `good`.")
    reasons: list[str] = Field(
        description="Reasons for the verdict, then caveats, such as samples that are close to "
        "training rows."
    )


class Histogram(BaseModel):
    edges: list[float] = Field(
        description="Edges of the bins; one more than there are bins. The first and the last bin "
        "also count the values beyond the edges."
    )
    real: list[float] = Field(description="Fraction of the real items in each bin.")
    synthetic: list[float] = Field(description="Fraction of the samples in each bin.")


class Statistics(BaseModel):
    """Statistics of the values of a column.

    Datetimes are in microseconds since 1970, times of day and durations in microseconds.
    """

    count: int = Field(description="Number of values.")
    missing: int = Field(description="Number of missing values.")
    mean: float | None = Field(None, description="Mean of numbers.")
    std: float | None = Field(None, description="Standard deviation of numbers.")
    min: float | None = Field(None, description="Smallest number.")
    q25: float | None = Field(None, description="First quartile.")
    median: float | None = Field(None, description="Median.")
    q75: float | None = Field(None, description="Third quartile.")
    max: float | None = Field(None, description="Largest number.")
    shares: dict[str, float] | None = Field(
        None, description="Fraction of each category, most frequent first."
    )


class ColumnStatistics(BaseModel):
    """Statistics of real items and samples: of a table column, or of images' pixel statistics."""

    column: str = Field(description="Column; for images, `brightness` or `contrast`.")
    type: str | None = Field(None, description="Tables only: type of the column.")
    label: str | None = Field(None, description="Label of the items; null for all items.")
    real: Statistics = Field(description="Statistics of real items.")
    synthetic: Statistics = Field(description="The same statistics of samples.")
    histogram: Histogram | None = Field(None, description="Histogram of numbers.")


class ColumnAssociations(BaseModel):
    columns: list[str] = Field(description="Names of the rows and columns of the matrices.")
    real: list[list[float]] = Field(
        description="Association of each pair of columns of real rows (Cramér's V): 0 is "
        "independent, 1 is fully dependent."
    )
    synthetic: list[list[float]] = Field(description="The same for samples.")


class Scatter(BaseModel):
    """Items on the first two principal components of the real items.

    Components are computed from rows, or from the features of images.
    """

    explained_variance_ratio: float = Field(
        description="Fraction of the variance that both components explain."
    )
    real: list[Point] = Field(description="Coordinates of some real items.")
    synthetic: list[Point] = Field(description="Coordinates of some samples.")


class RelationCheck(BaseModel):
    """A relation between columns that holds in all or nearly all training rows."""

    name: str = Field(description="A formula.")
    kind: str = Field(description="Kind of the relation.")
    columns: list[str] = Field(description="Columns that it involves.")
    holds_in_samples: float = Field(description="Share of samples for which it holds.")
    holds_in_holdout: float = Field(description="Share of unseen real rows for which it holds.")
    holds_in_naive_rows: float = Field(
        description="Share of rows of independent columns for which it holds."
    )


class UnseenPairs(BaseModel):
    """Two categorical columns, and how often their values form a pair that no training row has."""

    columns: list[str] = Field(description="Both columns.")
    in_samples: float = Field(description="Share of samples with a new pair.")
    in_holdout: float = Field(description="Share of unseen real rows with a new pair.")
    in_naive_rows: float = Field(
        description="Share of rows of independent columns with a new pair."
    )


class Report(BaseModel):
    """Report of the newest successful evaluation; `state` and `error` describe the newest one."""

    model: str = Field(description="Model id (`mdl_…`).")
    reference: str = Field(description="`name:version` of the model.")
    state: EvaluationState = Field(description="State of the newest evaluation.")
    error: JobProblem | None = Field(None, description="Error of the newest evaluation.")
    not_evaluable_reason: str | None = Field(
        None, description="Reason why a model without evaluations cannot be evaluated."
    )
    job: str | None = Field(None, description="Id of the evaluation job of the scores.")
    evaluated_at: datetime | None = Field(None, description="Time at which that job succeeded.")
    samples: int | None = Field(None, description="Number of samples that were evaluated.")
    holdout_items: int | None = Field(
        None, description="Number of real items that training did not use and the evaluation did."
    )
    seed: int | None = Field(None, description="Random seed of the evaluation.")
    verdict: VerdictView | None = Field(
        None, description="Verdict of that job; null if there is none."
    )
    failed_criteria: list[str] = Field(
        [], description="Criteria of the training job's `quality_gate` that the model fails."
    )
    scores: list[ScoreView] = Field([], description="Scores of that job.")
    pictures: dict[str, str] = Field(
        {}, description="Titles of the report's pictures by name; they are artifacts of the job."
    )
    statistics: list[ColumnStatistics] = Field(
        [], description="Statistics of real items and samples side by side."
    )
    column_associations: ColumnAssociations | None = Field(
        None, description="Tables only: associations between columns."
    )
    relations: list[RelationCheck] = Field(
        [], description="Tables only: relations that hold in all or nearly all training rows."
    )
    unseen_pairs: list[UnseenPairs] = Field(
        [],
        description="Tables only: up to 10 pairs of categorical columns in which samples have "
        "the most pairs of values that no training row has, compared with unseen real rows.",
    )
    scatter: Scatter | None = Field(None, description="Items in two dimensions.")
    nearest_train_distance: Histogram | None = Field(
        None,
        description="Distance from each sample, and from each real item that training did not "
        "use, to the nearest training item.",
    )
