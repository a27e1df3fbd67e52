"""Plans of requested table rows: by label, by condition, and from partial rows.

This module does not import torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Self

from core.errors import FieldError, ValidationFailed
from modalities.sampling import Json, SelectionPlan
from modalities.selection import (
    Selection,
    balance_conflict,
    check_conflicts,
    check_selection,
    count_labels,
)
from modalities.tabular.csv_output import CsvDialect
from modalities.tabular.encode import encode, parse_sample_columns
from modalities.tabular.options import (
    SAMPLE_FORMATS,
    ConditionRequest,
    TableSampleOptions,
    TableSelectionOptions,
)
from modalities.tabular.request_values import plain_conditions, plain_row
from models.errors import AcceptanceRateTooLow
from models.split import apportion
from models.tabular.sampling_plan import (
    RowIndexRange,
    RowSamplingPlan,
    Where,
    plan_partial_rows,
    plan_per_condition,
    plan_total,
)

if TYPE_CHECKING:
    from models.tabular.sampling import SampleBatch


@dataclass(frozen=True)
class TablePlan(SelectionPlan):
    """Rows by index, with the conditions that they meet."""

    manifest: Json
    indices: RowSamplingPlan
    conditions: tuple[Where, ...] = ()  # of the request, to point at an invalid one
    csv: Mapping[str, str | bool | None] = field(default_factory=dict)  # changes of the dialect

    formats = SAMPLE_FORMATS

    @property
    def count(self) -> int:
        return self.indices.count

    def encode(self, format: str, batches: Iterator["SampleBatch"], head: Json) -> Iterator[bytes]:
        columns = parse_sample_columns(self.manifest)
        dialect = CsvDialect.of_model(self.manifest, self.csv)
        return encode(format, (batch.rows for batch in batches), columns, head, dialect)

    def provenance(self) -> Iterator[Json]:
        """Yield the condition of each row, and its index among the rows of that condition."""
        if self.indices.partial_rows:
            check_conflicts("partial_rows", {"include": True})
        for index_range in self.indices.ranges:
            conditions = index_range.conditions
            for index in range(index_range.start, index_range.stop):
                yield {"where": conditions[index % len(conditions)], "index": index}

    def slice(self, start: int, stop: int) -> Self:
        return replace(self, indices=self.indices.slice(start, stop))

    def to_dict(self) -> Json:
        plan = asdict(self.indices)
        del plan["seed"]
        return plan

    def check_shards(self) -> None:
        """Raise ValidationFailed if rows must differ across shards.

        A `unique` constraint with an `id` column always holds, because ids are numbered across
        shards.
        """
        constraints = self.manifest["training"]["hyperparameters"].get("constraints", ())
        ids = {column["name"] for column in self.manifest["columns"] if column["type"] == "id"}
        for constraint in constraints:
            if constraint["kind"] == "unique" and not ids & set(constraint["columns"]):
                raise ValidationFailed(
                    "A generation job cannot satisfy the model's `unique` constraint, because its "
                    "shards are independent. Use POST /v1/models/{ref}/samples.",
                    code="unique_constraint_not_shardable",
                )

    def probes(self) -> Sequence[Self]:
        if not self.conditions:  # labels need no rejection sampling
            return []
        ranges = self.indices.ranges
        return [
            replace(self, indices=replace(self.indices, ranges=(index_range,))).slice(0, 1)
            for index_range in ranges
        ]

    def pointer_to_rejection(self, error: AcceptanceRateTooLow) -> str:
        """Return the JSON pointer of the part of the request that rejects too many candidates."""
        if error.partial_row is not None:
            return f"/partial_rows/{error.partial_row - self.indices.ranges[0].start}"
        columns = parse_sample_columns(self.manifest)
        for position, where in enumerate(self.conditions):
            if plain_conditions(columns, where) == error.conditions:
                return f"/conditions/{position}/where"
        if self.indices.exclude_training_rows:
            return "/exclude_training_rows"
        if any(len(part.conditions) > 1 for part in self.indices.ranges):
            return "/balance_labels"
        return "/labels" if error.conditions else "/count"

    def describe_range(self, name: str) -> str:
        """Return a phrase for an error message with the smallest and largest value of a column."""
        domain = self._domain(name)
        if domain.get("min") is None:
            return ""
        return f"; its values are from {domain['min']} to {domain['max']}"

    def _domain(self, name: str) -> Json:
        """Return the values or the range of a column; nothing for an identifier."""
        columns = self.manifest["columns"]
        return next((c.get("domain") for c in columns if c["name"] == name), None) or {}

    def count_labels(self, batch: "SampleBatch") -> Mapping[str, int]:
        names = {label["value"]: label["name"] for label in self.manifest["labels"]}
        if not names:
            return {}
        target = batch.rows.column(self.manifest["target_column"])
        counts = target.drop_null().value_counts().to_pylist()
        return {names[pair["values"]]: pair["counts"] for pair in counts}


def plan_samples(
    manifest: Json, selection: Selection, options: TableSampleOptions, seed: int
) -> TablePlan:
    if options.partial_rows is None:
        plan = plan_selection(manifest, selection, options, seed)
        exclude = options.exclude_training_rows
        csv = options.csv.model_dump() if options.csv is not None else {}
        indices = replace(plan.indices, exclude_training_rows=exclude)
        return replace(plan, indices=indices, csv=csv)
    check_conflicts(
        "partial_rows",
        {
            "labels": selection.labels,
            "count": selection.count,
            "conditions": options.conditions,
            "balance_labels": selection.balance_labels,
            "exclude_training_rows": options.exclude_training_rows,
        },
    )
    columns = parse_sample_columns(manifest)
    rows = [plain_row(columns, row) for row in options.partial_rows]
    csv = options.csv.model_dump() if options.csv is not None else {}
    indices = plan_partial_rows(rows, seed=seed, offset=selection.offset)
    return TablePlan(manifest, indices, csv=csv)


def plan_selection(
    manifest: Json, selection: Selection, options: TableSelectionOptions, seed: int
) -> TablePlan:
    """Return the plan of a request. Values in conditions may be written as samples show them."""
    plan, columns = _plan_rows(manifest, selection, options, seed), parse_sample_columns(manifest)
    ranges = tuple(
        replace(part, conditions=tuple(plain_conditions(columns, w) for w in part.conditions))
        for part in plan.ranges
    )
    conditions = tuple(condition.where for condition in options.conditions or ())
    return TablePlan(manifest, replace(plan, ranges=ranges), conditions)


def _plan_rows(
    manifest: Json, selection: Selection, options: TableSelectionOptions, seed: int
) -> RowSamplingPlan:
    offset = selection.offset
    if options.conditions is not None:
        if selection.labels is not None:
            raise ValidationFailed("Send either `labels`, or `count`, `conditions` or both.")
        if selection.balance_labels:
            raise balance_conflict("`labels` or `conditions`")
        counts = _condition_counts(options.conditions, selection.count)
        columns = parse_sample_columns(manifest)
        plain = [plain_conditions(columns, where) for where, _ in counts]
        are_labels = _are_labels(manifest, plain)
        return plan_per_condition(counts, seed=seed, offset=offset, are_labels=are_labels)
    if selection.labels is None and selection.count is None:
        raise ValidationFailed("Send `labels`, `count` or `conditions`.")
    check_selection(selection)
    if selection.count is None:
        conditions = _label_conditions(manifest)
        counts = [
            (conditions[name], n)
            for name, n in count_labels(manifest, selection.labels or {}).items()
        ]
        return plan_per_condition(counts, seed=seed, offset=offset, are_labels=True)
    balanced = _balanced_conditions(manifest) if selection.balance_labels else [{}]
    return plan_total(selection.count, balanced, seed=seed, offset=offset)


def read_plan(manifest: Json, plan: Json, seed: int) -> TablePlan:
    ranges = tuple(
        RowIndexRange(**part | {"conditions": tuple(part["conditions"])}) for part in plan["ranges"]
    )
    indices = RowSamplingPlan(
        ranges,
        seed,
        exclude_training_rows=plan["exclude_training_rows"],
        partial_rows=tuple(plan["partial_rows"]),
    )
    return TablePlan(manifest, indices)


def _label_conditions(manifest: Json) -> dict[str, Where]:
    column = manifest["target_column"]
    return {label["name"]: {column: label["value"]} for label in manifest["labels"]}


def _are_labels(manifest: Json, conditions: Sequence[Where]) -> bool:
    """Return whether each condition has another label of the target column."""
    if not manifest["labels"]:
        return False
    labels = [where.get(manifest["target_column"]) for where in conditions]
    return all(isinstance(x, str | int) for x in labels) and len(set(labels)) == len(labels)


def _balanced_conditions(manifest: Json) -> Sequence[Where]:
    """Return one condition per label, or per decile of a numeric target column."""
    conditions = list(_label_conditions(manifest).values()) or [
        {manifest["target_column"]: value_range} for value_range in manifest.get("bins", ())
    ]
    if not conditions:
        error = FieldError("/balance_labels", "no_labels", "The model has no labels.")
        raise ValidationFailed(
            "`balance_labels` requires a model with labels.", field_errors=[error]
        )
    return conditions


def _condition_counts(
    conditions: Sequence[ConditionRequest], count: int | None
) -> list[tuple[Where, int]]:
    """Return each condition with its number of rows.

    If the fractions add up to less than 1, the last entry is the rest of `count`, without a
    condition.

    Raises:
        ValidationFailed: Counts and fractions are missing or mixed.
    """
    where_clauses: list[Where] = [condition.where for condition in conditions]
    counts = [condition.count for condition in conditions]
    fractions = [condition.fraction for condition in conditions]
    if count is None:
        if None in counts or any(fraction is not None for fraction in fractions):
            raise _inconsistent(
                "If the request has no `count`, each condition needs a `count` and no `fraction`."
            )
        return [(where, n or 0) for where, n in zip(where_clauses, counts, strict=True)]
    if any(n is not None for n in counts):
        raise _inconsistent(
            "A condition cannot have a `count` if the request has one. Use `fraction`."
        )
    if all(fraction is None for fraction in fractions):
        fractions = [1 / len(where_clauses)] * len(where_clauses)
    if None in fractions or sum(fraction or 0 for fraction in fractions) > 1 + 1e-9:
        raise _inconsistent(
            "Either all or no conditions may have a `fraction`, and the sum must be at most 1."
        )
    row_counts = apportion(count, [fraction or 0 for fraction in fractions])
    return list(zip([*where_clauses, {}], row_counts, strict=True))


def _inconsistent(message: str) -> ValidationFailed:
    return ValidationFailed.of_field("/conditions", "conflict", message)
