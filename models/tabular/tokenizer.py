"""Tokenizer of a table: its columns, in sampling order, and the constraints on its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.tabular.categorical_columns import (
    Arrays,
    CategoricalColumn,
    Column,
    Floats,
    TokenLayout,
    Tokens,
    as_text,
)
from models.tabular.constraint_checks import add_totals, satisfies
from models.tabular.constraints import Constraint
from models.tabular.id_columns import IdColumn
from models.tabular.numeric_columns import NumericColumn
from models.tabular.schema import ColumnSchema, UnsupportedColumn

LABEL_LAST_BELOW_ROWS = 5_000  # a numeric label comes last in smaller tables
PREFIX = "tokenizer."  # of tensor names
HASH_BATCH_ROWS = 65_536
MISSING_MARK, VALUE_SEPARATOR = "\x00", "\x1f"  # in the text of a row that is hashed
MAX_TESTED_ROWS, MAX_TESTED_PARTNERS = 20_000, 24  # in the test for dependence
MIN_DEPENDENCE_SIGMA = 5.0  # standard deviations; smaller deviations are attributed to chance


@dataclass(frozen=True)
class Tokenizer:
    """Conversion between table rows and token rows.

    `arrow` is the schema of the original table, `columns` are the learned ones in sampling order.
    `fixed_combinations` has, for each constraint of this kind, its (S', U) allowed combinations of
    tokens. `hashes` are the sorted hashes of training rows, which samples can exclude.
    """

    arrow: pa.Schema
    columns: tuple[Column, ...]
    id_columns: tuple[IdColumn, ...]
    target_column: str | None
    constraints: tuple[Constraint, ...] = ()
    fixed_combinations: tuple[Tokens, ...] = ()
    hashes: NDArray[np.int64] | None = None

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        schema: Sequence[ColumnSchema],
        *,
        target_column: str | None,
        seed: int,
        always_sub_bins: bool = False,
        constraints: Sequence[Constraint] = (),
        min_value_count: int = 0,
    ) -> Self:
        """Fit all columns.

        With `always_sub_bins`, every numeric column with bins gets a second step. Raises
        UnsupportedColumn.
        """
        types = _column_types(table.schema, schema, target_column)
        for constraint in constraints:
            types.pop(constraint.total or "", None)
        names = [name for name, type in types.items() if type != "id"]
        if not names:
            raise UnsupportedColumn(next(iter(types), ""), "no column is left to learn from")
        columns = [
            _fit_column(name, types[name], _array(table, name), min_value_count) for name in names
        ]
        columns.sort(key=lambda column: _sort_rank(column, target_column, len(table)))
        id_columns = tuple(
            IdColumn.fit(
                name,
                table.schema.field(name).type,
                _array(table, name),
                min_value_count,
                next(column.format for column in schema if column.name == name),
            )
            for name, type in types.items()
            if type == "id"
        )
        columns_with_sub_bins = _add_sub_bins(columns, table, seed, every_column=always_sub_bins)
        tokenizer = cls(
            table.schema,
            tuple(columns_with_sub_bins),
            id_columns,
            target_column,
            tuple(constraints),
        )
        return replace(
            tokenizer,
            fixed_combinations=tuple(tokenizer._fit_combinations(table, seed, min_value_count)),
        )

    def _fit_combinations(
        self, table: pa.Table, seed: int, min_value_count: int
    ) -> Iterator[Tokens]:
        """Yield combinations that `min_value_count` rows have. Raises UnsupportedColumn if none."""
        rng = np.random.default_rng(seed)
        for constraint in self.constraints:
            if constraint.kind != "fixed_combinations":
                continue
            columns = [column for column in self.columns if column.name in constraint.columns]
            for column in columns:
                if column.needs_uniform:
                    raise UnsupportedColumn(
                        column.name, "has too many values for `fixed_combinations`"
                    )
            tokens = np.concatenate(
                [column.encode(_array(table, column.name), rng) for column in columns]
            )
            combinations, counts = np.unique(tokens, axis=1, return_counts=True)
            if not (counts >= min_value_count).any():
                message = f"no combination of its values occurs in at least {min_value_count} rows"
                raise UnsupportedColumn(constraint.columns[0], message)
            yield combinations[:, counts >= min_value_count]

    @property
    def step_sizes(self) -> list[int]:
        """Return the number of tokens of each step of a row."""
        return [size for column in self.columns for size in column.layout.step_sizes]

    @property
    def has_single_token_label(self) -> bool:
        """Return True if the first step is the label and determines it."""
        first = self.columns[0]
        return first.name == self.target_column and first.layout.bins == 0

    @property
    def positions(self) -> list[Floats]:
        return [position for column in self.columns for position in column.positions]

    @cached_property
    def column_slices(self) -> list[slice]:
        """Return the steps of each column."""
        ends = list(accumulate(len(column.layout.step_sizes) for column in self.columns))
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def steps_in_order(self, leading_columns: Sequence[str]) -> list[int]:
        """Return all steps, with those of `leading_columns` first."""
        rank = {name: i for i, name in enumerate(leading_columns)}
        ordered = sorted(
            zip(self.columns, self.column_slices, strict=True),
            key=lambda pair: rank.get(pair[0].name, len(rank)),
        )
        return [step for _, steps in ordered for step in range(steps.start, steps.stop)]

    @property
    def sub_bin_steps(self) -> list[tuple[int, int, int] | None]:
        """Return (first step of the column, first bin token, end of the bin tokens) by step.

        None for a step that is not a sub-bin.
        """
        result: list[tuple[int, int, int] | None] = []
        for column, steps in zip(self.columns, self.column_slices, strict=True):
            layout = column.layout
            bin_tokens = (steps.start, layout.exact_values, layout.exact_values + layout.bins)
            result += [None] + [bin_tokens] * len(layout.sub_bins)
        return result

    @property
    def num_decode_uniforms(self) -> int:
        """Return the number of uniforms that decoding a row needs: one per column with bins."""
        return sum(column.needs_uniform for column in self.columns)

    def encode(self, table: pa.Table, seed: int) -> Tokens:
        """Return the (S, N) tokens of a table."""
        rng = np.random.default_rng(seed)
        return np.concatenate(
            [column.encode(_array(table, column.name), rng) for column in self.columns]
        )

    def decode(
        self, tokens: Tokens, u: Floats, id_values: Mapping[str, pa.Array] | None = None
    ) -> pa.RecordBatch:
        """Map (S, N) tokens and (num_decode_uniforms, N) uniforms to rows.

        `id_values` are the identifiers. Columns that are neither given nor learned are left out.
        """
        columns = dict(id_values or {})
        unused = np.empty(tokens.shape[1])
        uniforms = iter(u)
        for column, steps in zip(self.columns, self.column_slices, strict=True):
            columns[column.name] = column.decode(
                tokens[steps], next(uniforms) if column.needs_uniform else unused
            )
        names = [name for name in self.arrow.names if name in columns]
        fields = [self.arrow.field(name) for name in names]
        rows = pa.RecordBatch.from_arrays(
            [columns[name] for name in names], schema=pa.schema(fields)
        )
        return add_totals(rows, self.constraints, self.arrow) if self.constraints else rows

    def satisfies_constraints(self, tokens: Tokens, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return the (N,) mask of valid rows, given as (S, N) tokens and as values."""
        mask = np.ones(tokens.shape[1], bool)
        combinations = iter(self.fixed_combinations)
        for constraint in self.constraints:
            if constraint.kind == "fixed_combinations":
                mask &= _is_one_of(tokens[self._steps_of(constraint.columns)], next(combinations))
            else:
                mask &= satisfies(constraint, rows)
        return mask

    def _steps_of(self, names: Sequence[str]) -> list[int]:
        pairs = zip(self.columns, self.column_slices, strict=True)
        return [
            step
            for column, steps in pairs
            if column.name in names
            for step in range(steps.start, steps.stop)
        ]

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        """Return the JSON and the arrays that `unpack` needs."""
        columns, arrays = [], {}
        for index, column in enumerate(self.columns):
            column_metadata, column_arrays = column.pack()
            columns.append(
                {"name": column.name, "layout": column.layout.to_json(), **column_metadata}
            )
            arrays.update(
                {f"columns.{index}.{name}": array for name, array in column_arrays.items()}
            )
        arrays["schema"] = np.frombuffer(self.arrow.serialize(), np.uint8).copy()
        arrays |= {
            f"fixed_combinations.{i}": tokens for i, tokens in enumerate(self.fixed_combinations)
        }
        if self.hashes is not None:
            arrays["hashes"] = self.hashes
        metadata = {
            "columns": columns,
            "id_columns": [
                {"name": id_column.name, **id_column.to_json()} for id_column in self.id_columns
            ],
            "target_column": self.target_column,
            "constraints": [constraint.to_dict() for constraint in self.constraints],
        }
        return metadata, arrays

    @classmethod
    def unpack(cls, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        arrow = pa.ipc.read_schema(pa.BufferReader(arrays["schema"].tobytes()))
        columns = [
            _unpack_column(column, arrow.field(column["name"]).type, arrays, f"columns.{index}")
            for index, column in enumerate(metadata["columns"])
        ]
        id_columns = [
            IdColumn.from_json(item, arrow.field(item["name"]).type)
            for item in metadata["id_columns"]
        ]
        constraints = tuple(
            Constraint.from_dict(constraint) for constraint in metadata["constraints"]
        )
        num_combinations = sum(
            constraint.kind == "fixed_combinations" for constraint in constraints
        )
        fixed_combinations = tuple(
            arrays[f"fixed_combinations.{i}"] for i in range(num_combinations)
        )
        return cls(
            arrow,
            tuple(columns),
            tuple(id_columns),
            metadata["target_column"],
            constraints,
            fixed_combinations,
            arrays.get("hashes"),
        )

    def with_row_hashes(self, table: pa.Table) -> Self:
        """Return a copy with the hashes of all rows of `table`."""
        hashes = [self._hashes(batch) for batch in table.to_batches(max_chunksize=HASH_BATCH_ROWS)]
        return replace(self, hashes=np.unique(np.concatenate(hashes)))

    def is_training_row(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows whose hashes are stored; identifiers are ignored."""
        assert self.hashes is not None  # noqa: S101 - checked by the sampler
        return np.isin(self._hashes(rows), self.hashes)

    def _hashes(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        id_names = {id_column.name for id_column in self.id_columns}
        texts = [
            as_text(column).fill_null(MISSING_MARK)
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
            if name not in id_names
        ]
        lines = pa.compute.binary_join_element_wise(*texts, VALUE_SEPARATOR).to_pylist()
        digests = b"".join(blake2b(line.encode(), digest_size=8).digest() for line in lines)
        return np.frombuffer(digests, np.int64)

    def to_tensors(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        metadata, arrays = self.pack()
        return metadata, {f"{PREFIX}{n}": torch.from_numpy(array) for n, array in arrays.items()}

    @classmethod
    def from_tensors(cls, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Load from the tensors of a file, which may hold other tensors, too."""
        own_arrays = {n: t.numpy() for n, t in tensors.items() if n.startswith(PREFIX)}
        return cls.unpack(
            metadata, {n.removeprefix(PREFIX): array for n, array in own_arrays.items()}
        )


def _is_one_of(tokens: Tokens, combinations: Tokens) -> NDArray[np.bool_]:
    """Return the (N,) mask of `tokens` (S', N) columns that occur in `combinations` (S', U)."""
    _, unique_index = np.unique(
        np.concatenate([combinations, tokens], axis=1), axis=1, return_inverse=True
    )
    unique_index = unique_index.reshape(-1)
    return np.isin(unique_index[combinations.shape[1] :], unique_index[: combinations.shape[1]])


def _sort_rank(column: Column, target_column: str | None, num_rows: int) -> int:
    """Return the sort key of a column in sampling order.

    The label comes first, so that it can be conditioned on. A numeric label of a small table comes
    last: learning it from all other columns needs fewer rows than learning them from it.
    """
    if column.name != target_column:
        return 0
    is_binned = isinstance(column, NumericColumn) and column.layout.bins > 0
    return 1 if is_binned and num_rows < LABEL_LAST_BELOW_ROWS else -1


def _column_types(
    arrow: pa.Schema, schema: Sequence[ColumnSchema], target_column: str | None
) -> dict[str, str]:
    """Return column types by name, in the order of the table. Raises UnsupportedColumn."""
    types = {column.name: column.type for column in schema if column.in_samples}
    for name in [*types, *([] if target_column is None else [target_column])]:
        if len(arrow.get_all_field_indices(name)) != 1:
            raise UnsupportedColumn(name, "must occur exactly once in the table")
    if target_column is not None and types.get(target_column, "id") == "id":
        raise UnsupportedColumn(
            target_column, "cannot be the target column, because it is not learned"
        )
    return {name: types[name] for name in arrow.names if name in types}


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _fit_column(name: str, type: str, values: pa.Array, min_value_count: int) -> Column:
    arrow = values.type
    if type in ("category", "boolean") or pa.types.is_null(arrow):
        try:
            return CategoricalColumn.fit(name, arrow, values, min_value_count)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnsupportedColumn(
                name, f"values of type {arrow} cannot be converted to categories"
            ) from error
    return NumericColumn.fit(name, arrow, values, min_value_count)


def _unpack_column(
    metadata: Mapping[str, Any], arrow: pa.DataType, arrays: Mapping[str, NDArray[Any]], prefix: str
) -> Column:
    layout = TokenLayout.from_json(metadata["layout"])
    if metadata["kind"] == "category":
        categories = pa.array(metadata["categories"], pa.string())
        return CategoricalColumn(
            metadata["name"], arrow, categories, layout, tuple(metadata["counts"])
        )
    column_arrays = {
        name: arrays[f"{prefix}.{name}"]
        for name in ("exact_values", "quantiles", "ends", "rank_midpoints")
    }
    return NumericColumn.unpack(metadata, layout, arrow, column_arrays)


def _add_sub_bins(
    columns: list[Column], table: pa.Table, seed: int, *, every_column: bool
) -> list[Column]:
    """Add a second step to columns whose position within a bin depends on another column."""
    rng = np.random.default_rng(seed)
    table = table.slice(0, MAX_TESTED_ROWS)
    binned_indices = [
        i
        for i, column in enumerate(columns)
        if isinstance(column, NumericColumn) and column.layout.bins
    ]
    if not binned_indices:
        return columns
    first_tokens = {
        i: column.encode(_array(table, column.name), rng)[0] for i, column in enumerate(columns)
    }
    result: list[Column] = list(columns)
    for i in binned_indices:
        column = columns[i]
        assert isinstance(column, NumericColumn)  # noqa: S101 - by construction of `binned_indices`
        refined = column.with_sub_bins(int(column.layout.is_bin(first_tokens[i]).sum()))
        if every_column:
            result[i] = refined
            continue
        partners = [j for j in range(len(columns)) if j != i]
        for j in rng.permutation(partners)[:MAX_TESTED_PARTNERS]:
            if refined is not column and _depends_on(refined, column, table, first_tokens[j], rng):
                result[i] = refined
                break
    return result


def _depends_on(
    refined: NumericColumn,
    column: NumericColumn,
    table: pa.Table,
    partner: Tokens,
    rng: np.random.Generator,
) -> bool:
    """Return True if the half of its bin that a value is in depends on `partner` (N,).

    For each pair of a bin and a partner's token, (lower - upper)**2 / (lower + upper) has mean 1 if
    both halves are equally likely, and variance at most 2 (a chi-squared statistic).
    """
    tokens = refined.encode(_array(table, column.name), rng)
    inside = refined.layout.is_bin(tokens[0])
    upper = tokens[1, inside] > refined.layout.sub_bins[0] / 2
    cell = (tokens[0, inside] - refined.layout.exact_values) * (partner.max() + 1) + partner[inside]
    lower_count = np.bincount(cell[~upper], minlength=cell.max() + 1)
    upper_count = np.bincount(cell[upper], minlength=cell.max() + 1)
    total = lower_count + upper_count
    tested = total > 1
    chi_squared = (lower_count - upper_count)[tested] ** 2 / total[tested]
    return float(chi_squared.sum() - tested.sum()) > MIN_DEPENDENCE_SIGMA * float(
        np.sqrt(2 * max(tested.sum(), 1))
    )
