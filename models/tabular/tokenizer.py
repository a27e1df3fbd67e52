"""A table as tokens and back: its columns, in the order in which a row is made."""

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

LABEL_LAST_BELOW_ROWS = 5_000  # rows
PREFIX = "tokenizer."  # of the names of tensors
HASH_BATCH_ROWS = 65_536  # rows
MISSING_MARK, VALUE_SEPARATOR = (
    "\x00",
    "\x1f",
)  # in what is hashed: a missing value, and what parts two values
MAX_TESTED_ROWS, MAX_TESTED_PARTNERS = 20_000, 24
MIN_DEPENDENCE_SIGMA = 5.0  # standard deviations: what chance does not give


@dataclass(frozen=True)
class Tokenizer:
    """`arrow` is the schema of the table as it came, `columns` what is learned of it.
    `combinations` has, for each of the constraints that is of this kind, (S', U) tokens that go together;
    `hashes`, in order, those of rows that samples can be asked not to repeat.
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
        """With `fine`, every number that has bins gets a second step. Raises UnfitColumn, naming
        the column."""
        types = _types(table.schema, schema, target_column)
        for constraint in constraints:
            types.pop(constraint.total or "", None)
        names = [name for name, kind in types.items() if kind != "id"]
        if not names:
            raise UnsupportedColumn(next(iter(types), ""), "no column is left to learn from")
        columns = [_fit(name, types[name], _array(table, name), min_value_count) for name in names]
        columns.sort(key=lambda column: _place(column, target_column, len(table)))
        identifiers = tuple(
            IdColumn.fit(name, table.schema.field(name).type, _array(table, name), min_value_count)
            for name, kind in types.items()
            if kind == "id"
        )
        refined = _refined(columns, table, seed, all_of_them=always_sub_bins)
        bare = cls(table.schema, tuple(refined), identifiers, target_column, tuple(constraints))
        return replace(
            bare, fixed_combinations=tuple(bare._combinations(table, seed, min_value_count))
        )

    def _combinations(self, table: pa.Table, seed: int, min_value_count: int) -> Iterator[Tokens]:
        """Those that `min_value_count` rows have. Raises UnfitColumn where there are none."""
        rng = np.random.default_rng(seed)
        for constraint in self.constraints:
            if constraint.kind != "fixed_combinations":
                continue
            mine = [column for column in self.columns if column.name in constraint.columns]
            for column in mine:
                if column.needs_uniform:
                    raise UnsupportedColumn(
                        column.name, "has too many values to keep combinations of"
                    )
            tokens = np.concatenate([c.encode(_array(table, c.name), rng) for c in mine])
            found, counts = np.unique(tokens, axis=1, return_counts=True)
            if not (counts >= min_value_count).any():
                message = f"has no value that {min_value_count} rows have together with others"
                raise UnsupportedColumn(constraint.columns[0], message)
            yield found[:, counts >= min_value_count]

    @property
    def step_sizes(self) -> list[int]:
        """Tokens of each step of a row."""
        return [size for column in self.columns for size in column.layout.step_sizes]

    @property
    def has_single_token_label(self) -> bool:
        """Whether the first step alone is the label."""
        first = self.columns[0]
        return first.name == self.target_column and first.layout.bins == 0

    @property
    def positions(self) -> list[Floats]:
        return [position for column in self.columns for position in column.positions]

    @cached_property
    def column_slices(self) -> list[slice]:
        """Where each column's steps lie."""
        ends = list(accumulate(len(column.layout.step_sizes) for column in self.columns))
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def steps_in_order(self, leading_columns: Sequence[str]) -> list[int]:
        """All steps, those of the columns of these names before the others."""
        place = {name: i for i, name in enumerate(leading_columns)}
        ranked = sorted(
            zip(self.columns, self.column_slices, strict=True),
            key=lambda pair: place.get(pair[0].name, len(place)),
        )
        return [step for _, steps in ranked for step in range(steps.start, steps.stop)]

    @property
    def sub_bin_steps(self) -> list[tuple[int, int, int] | None]:
        """For each step that is a digit: the first step of its column, and from which token to
        before which that holds groups."""
        found: list[tuple[int, int, int] | None] = []
        for column, steps in zip(self.columns, self.column_slices, strict=True):
            layout = column.layout
            inside = (steps.start, layout.exact_values, layout.exact_values + layout.bins)
            found += [None] + [inside] * len(layout.sub_bins)
        return found

    @property
    def num_decode_uniforms(self) -> int:
        """Numbers that a row takes beside its steps: for the place inside a bin."""
        return sum(column.needs_uniform for column in self.columns)

    def encode(self, table: pa.Table, seed: int) -> Tokens:
        """(S, N)."""
        rng = np.random.default_rng(seed)
        return np.concatenate([c.encode(_array(table, c.name), rng) for c in self.columns])

    def decode(
        self, tokens: Tokens, u: Floats, id_values: Mapping[str, pa.Array] | None = None
    ) -> pa.RecordBatch:
        """(S, N) tokens and (draws, N) numbers in (0, 1) to rows. `names` are the identifiers'
        values; columns that are not there and not learned are left out."""
        made = dict(id_values or {})
        unused = np.empty(tokens.shape[1])
        draw = iter(u)
        for column, steps in zip(self.columns, self.column_slices, strict=True):
            made[column.name] = column.decode(
                tokens[steps], next(draw) if column.needs_uniform else unused
            )
        kept = [name for name in self.arrow.names if name in made]
        fields = [self.arrow.field(name) for name in kept]
        rows = pa.RecordBatch.from_arrays([made[name] for name in kept], schema=pa.schema(fields))
        return add_totals(rows, self.constraints, self.arrow) if self.constraints else rows

    def satisfies_constraints(self, tokens: Tokens, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """(S, N) tokens and their rows to (N,)."""
        held = np.ones(tokens.shape[1], bool)
        together = iter(self.fixed_combinations)
        for constraint in self.constraints:
            if constraint.kind == "fixed_combinations":
                held &= _among(tokens[self._steps_named(constraint.columns)], next(together))
            else:
                held &= satisfies(constraint, rows)
        return held

    def _steps_named(self, names: Sequence[str]) -> list[int]:
        pairs = zip(self.columns, self.column_slices, strict=True)
        return [i for c, steps in pairs if c.name in names for i in range(steps.start, steps.stop)]

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        """What `unpack` needs: JSON, and arrays by name."""
        columns, arrays = [], {}
        for number, column in enumerate(self.columns):
            told, mine = column.pack()
            columns.append({"name": column.name, "layout": column.layout.to_json(), **told})
            arrays.update({f"columns.{number}.{name}": array for name, array in mine.items()})
        arrays["schema"] = np.frombuffer(self.arrow.serialize(), np.uint8).copy()
        arrays |= {
            f"fixed_combinations.{i}": tokens for i, tokens in enumerate(self.fixed_combinations)
        }
        if self.hashes is not None:
            arrays["hashes"] = self.hashes
        about = {
            "columns": columns,
            "id_columns": [{"name": i.name, **i.to_json()} for i in self.id_columns],
            "target_column": self.target_column,
            "constraints": [constraint.to_dict() for constraint in self.constraints],
        }
        return about, arrays

    @classmethod
    def unpack(cls, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        arrow = pa.ipc.read_schema(pa.BufferReader(arrays["schema"].tobytes()))
        columns = [
            _unpack(column, arrow.field(column["name"]).type, arrays, f"columns.{number}")
            for number, column in enumerate(metadata["columns"])
        ]
        identifiers = [
            IdColumn(
                i["name"], arrow.field(i["name"]).type, i["next_integer"], tuple(i["alphabets"])
            )
            for i in metadata["id_columns"]
        ]
        constraints = tuple(
            Constraint.from_dict(constraint) for constraint in metadata["constraints"]
        )
        together = sum(constraint.kind == "fixed_combinations" for constraint in constraints)
        kept = tuple(arrays[f"fixed_combinations.{i}"] for i in range(together))
        return cls(
            arrow,
            tuple(columns),
            tuple(identifiers),
            metadata["target_column"],
            constraints,
            kept,
            arrays.get("hashes"),
        )

    def with_row_hashes(self, table: pa.Table) -> Self:
        """The same with the hashes of all rows."""
        hashes = [self._hashes(batch) for batch in table.to_batches(max_chunksize=HASH_BATCH_ROWS)]
        return replace(self, hashes=np.unique(np.concatenate(hashes)))

    def is_training_row(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """(N,): whether a row is among those whose hashes are kept, identifiers aside."""
        assert self.hashes is not None  # noqa: S101 - the sampler has looked
        return np.isin(self._hashes(rows), self.hashes)

    def _hashes(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        ids = {identifier.name for identifier in self.id_columns}
        texts = [
            as_text(column).fill_null(MISSING_MARK)
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
            if name not in ids
        ]
        lines = pa.compute.binary_join_element_wise(*texts, VALUE_SEPARATOR).to_pylist()
        digests = b"".join(blake2b(line.encode(), digest_size=8).digest() for line in lines)
        return np.frombuffer(digests, np.int64)

    def to_tensors(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        about, arrays = self.pack()
        return about, {f"{PREFIX}{n}": torch.from_numpy(array) for n, array in arrays.items()}

    @classmethod
    def from_tensors(cls, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """From the tensors of a file that may hold others too."""
        mine = {n: t.numpy() for n, t in tensors.items() if n.startswith(PREFIX)}
        return cls.unpack(metadata, {n.removeprefix(PREFIX): array for n, array in mine.items()})


def _among(tokens: Tokens, kept: Tokens) -> NDArray[np.bool_]:
    """(S', N) and (S', U) to (N,): whether a column of tokens is one of those that are kept."""
    _, number = np.unique(np.concatenate([kept, tokens], axis=1), axis=1, return_inverse=True)
    number = number.reshape(-1)
    return np.isin(number[kept.shape[1] :], number[: kept.shape[1]])


def _place(column: Column, label: str | None, rows: int) -> int:
    """A label comes first: it can be asked for. Only one of many numbers comes last where rows are
    few: they teach a number from all that it depends on, and not all of that from the number."""
    if column.name != label:
        return 0
    many = isinstance(column, NumericColumn) and column.layout.bins > 0
    return 1 if many and rows < LABEL_LAST_BELOW_ROWS else -1


def _types(arrow: pa.Schema, schema: Sequence[ColumnSchema], label: str | None) -> dict[str, str]:
    """Type by name, in the table's order."""
    types = {column.name: column.type for column in schema if column.in_samples}
    for name in [*types, *([] if label is None else [label])]:
        if len(arrow.get_all_field_indices(name)) != 1:
            raise UnsupportedColumn(name, "is not one column of the table")
    if label is not None and types.get(label, "id") == "id":
        raise UnsupportedColumn(label, "cannot be the label: it is not learned")
    return {name: types[name] for name in arrow.names if name in types}


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _fit(name: str, kind: str, values: pa.Array, min_value_count: int) -> Column:
    arrow = values.type
    if kind in ("category", "boolean") or pa.types.is_null(arrow):
        try:
            return CategoricalColumn.fit(name, arrow, values, min_value_count)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnsupportedColumn(name, f"a column of {arrow} has no names to learn") from error
    return NumericColumn.fit(name, arrow, values, min_value_count)


def _unpack(
    about: Mapping[str, Any], arrow: pa.DataType, arrays: Mapping[str, NDArray[Any]], prefix: str
) -> Column:
    layout = TokenLayout.from_json(about["layout"])
    if about["kind"] == "category":
        names = pa.array(about["categories"], pa.string())
        return CategoricalColumn(about["name"], arrow, names, layout, tuple(about["counts"]))
    mine = {
        name: arrays[f"{prefix}.{name}"]
        for name in ("exact_values", "quantiles", "ends", "rank_midpoints")
    }
    return NumericColumn.unpack(about, layout, arrow, mine)


def _refined(
    columns: list[Column], table: pa.Table, seed: int, *, all_of_them: bool
) -> list[Column]:
    """A second step for each number whose place inside its bin depends on another column."""
    rng = np.random.default_rng(seed)
    table = table.slice(0, MAX_TESTED_ROWS)
    binned = [i for i, c in enumerate(columns) if isinstance(c, NumericColumn) and c.layout.bins]
    if not binned:
        return columns
    first = {i: c.encode(_array(table, c.name), rng)[0] for i, c in enumerate(columns)}
    refined: list[Column] = list(columns)
    for i in binned:
        column = columns[i]
        assert isinstance(column, NumericColumn)  # noqa: S101 - `binned` holds only these
        fine = column.with_sub_bins(int(column.layout.is_bin(first[i]).sum()))
        if all_of_them:
            refined[i] = fine
            continue
        partners = [j for j in range(len(columns)) if j != i]
        for j in rng.permutation(partners)[:MAX_TESTED_PARTNERS]:
            if fine is not column and _depends(fine, column, table, first[j], rng):
                refined[i] = fine
                break
    return refined


def _depends(
    fine: NumericColumn,
    column: NumericColumn,
    table: pa.Table,
    partner: Tokens,
    rng: np.random.Generator,
) -> bool:
    """Whether the half of the bin in which a number lies depends on `partner` (N,): for each pair
    of a bin and a partner's token, (lower - upper)**2 / (lower + upper) is 1 on average where the
    two halves are equally likely, with a variance of at most 2."""
    tokens = fine.encode(_array(table, column.name), rng)
    inside = fine.layout.is_bin(tokens[0])
    upper = tokens[1, inside] > fine.layout.sub_bins[0] / 2
    cell = (tokens[0, inside] - fine.layout.exact_values) * (partner.max() + 1) + partner[inside]
    lower_count = np.bincount(cell[~upper], minlength=cell.max() + 1)
    upper_count = np.bincount(cell[upper], minlength=cell.max() + 1)
    both = lower_count + upper_count
    seen = both > 1
    surprise = (lower_count - upper_count)[seen] ** 2 / both[seen]
    return float(surprise.sum() - seen.sum()) > MIN_DEPENDENCE_SIGMA * float(
        np.sqrt(2 * max(seen.sum(), 1))
    )
