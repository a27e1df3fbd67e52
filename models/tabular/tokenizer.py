"""Tokenizer of a table: its columns, in sampling order, and the constraints on its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.autoregressive.exclusions import NO_EXCLUSIONS, Exclusions
from models.tabular.autoregressive.joint_masks import JointMask, find_joint_masks
from models.tabular.categorical_columns import CategoricalColumn, Column, Floats, Tokens
from models.tabular.column_fitting import (
    column_types,
    column_values,
    fit_column,
    keys_first,
    pairs_first,
    row_labels,
    sort_rank,
)
from models.tabular.constraints.checks import add_totals, satisfies
from models.tabular.constraints.declarations import Constraint
from models.tabular.constraints.fixed_combinations import fit_combinations, is_one_of
from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.fitting import fit_id_columns
from models.tabular.numbers.sub_bins import add_sub_bins
from models.tabular.relations.coding import NO_CODING, RelationCoding
from models.tabular.relations.texts.joined_text import JoinedText, add_joined_texts
from models.tabular.row_hashes import hash_rows, hash_table
from models.tabular.sampled_values import SampledColumns
from models.tabular.schema import ColumnSchema, UnsupportedColumn

PREFIX = "tokenizer."  # of tensor names


@dataclass(frozen=True)
class Tokenizer:
    """Conversion between table rows and token rows.

    `arrow` is the schema of the original table, `columns` are the learned ones in sampling order.
    They are columns of the coded table: see `coding`.
    `joined_texts` are identifiers that consist of other columns; these come before them.
    `fixed_combinations` has, for each constraint of this kind, its (S', U) allowed combinations of
    tokens. `hashes` are the sorted hashes of training rows, which samples can exclude. `exclusions`
    are the combinations of values that samples do not have.
    """

    arrow: pa.Schema
    columns: tuple[Column, ...]
    id_columns: tuple[IdColumn, ...]
    target_column: str | None
    constraints: tuple[Constraint, ...] = ()
    fixed_combinations: tuple[Tokens, ...] = ()
    hashes: NDArray[np.int64] | None = None
    coding: RelationCoding = NO_CODING
    joined_texts: tuple[JoinedText, ...] = ()
    exclusions: Exclusions = NO_EXCLUSIONS

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
        coding: RelationCoding = NO_CODING,
        joined_texts: Sequence[JoinedText] = (),
    ) -> Self:
        """Fit all columns.

        With `always_sub_bins`, every numeric column with bins gets a second step. Raises
        UnsupportedColumn.
        """
        types = column_types(table.schema, schema, target_column)
        for constraint in constraints:
            types.pop(constraint.total or "", None)
        arrow, uncoded = table.schema, table
        for joined in joined_texts:
            if not joined.has_rest:
                types.pop(joined.column, None)
        table = coding.encode(table.select(list(types)))
        types = {name: types.get(name, "number") for name in table.schema.names}
        names = [name for name, type in types.items() if type != "id"]
        if not names:
            raise UnsupportedColumn(next(iter(types), ""), "no column is left to learn from")
        # The number of a key only identifies it.
        plain = set(types) - coding.names - {target_column}
        keys = plain & coding.offset_keys | set(coding.keys.values())
        types |= dict.fromkeys(keys, "category")
        labels = row_labels(table, types, target_column, min_value_count, seed)
        columns = [
            fit_column(name, types[name], column_values(table, name), min_value_count, labels)
            for name in names
        ]
        columns.sort(key=lambda column: sort_rank(column, target_column, len(table)))
        first = int(columns[0].name == target_column)
        columns = keys_first(columns, coding.keys, first)
        columns = pairs_first(columns, coding.columns_of_pairs, first)
        id_names = [name for name, type in types.items() if type == "id"]
        totals = {constraint.total for constraint in constraints}
        others = uncoded.drop_columns([name for name in uncoded.column_names if name in totals])
        id_columns = fit_id_columns(others, schema, id_names, joined_texts, min_value_count)
        columns_with_sub_bins = add_sub_bins(
            columns, table, labels, seed, every_column=always_sub_bins
        )
        tokenizer = cls(
            arrow,
            tuple(columns_with_sub_bins),
            tuple(id_columns),
            target_column,
            tuple(constraints),
            coding=coding,
            joined_texts=tuple(joined_texts),
        )
        combinations = fit_combinations(
            constraints, columns_with_sub_bins, table, seed, min_value_count
        )
        return replace(tokenizer, fixed_combinations=tuple(combinations))

    @cached_property
    def coded_arrow(self) -> pa.Schema:
        """Return the schema of the coded table."""
        return self.coding.coded_schema(self.arrow)

    @cached_property
    def column_names(self) -> list[str]:
        """Return the names of `columns`, without those that only coded rows have."""
        return [c.name for c in self.columns if c.name in self.arrow.names]

    @property
    def id_names(self) -> set[str]:
        """Return the names of all identifiers."""
        drawn = {id_column.name for id_column in self.id_columns}
        return drawn | {joined.column for joined in self.joined_texts}

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

    @cached_property
    def joint_masks(self) -> tuple[JointMask, ...]:
        """Return which tokens of the columns of a date may meet."""
        steps, values = {}, {}
        for column, own_steps in zip(self.columns, self.column_slices, strict=True):
            (size, *further), layout = column.layout.step_sizes, column.layout
            if not (further or layout.bins or column.name in self.coding.names):
                steps[column.name] = own_steps.start
                values[column.name] = column.decode(np.arange(size)[None], np.zeros(size))
        return tuple(find_joint_masks(self.coding, steps, values))

    @cached_property
    def sampled_columns(self) -> SampledColumns:
        """Return the columns of which some tokens follow from others while a row is sampled."""
        return SampledColumns(self.columns, self.column_slices, self.coding, self.arrow)

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
    def fine_positions(self) -> list[Floats | None]:
        """Return, for each sub-bin step of a number, the positions of its cells in the column.

        A cell is a pair of a bin and a sub-bin; None for all other steps.
        """
        return [
            positions for column in self.columns for positions in [None, *column.fine_positions]
        ]

    @property
    def num_decode_uniforms(self) -> int:
        """Return the number of uniforms that decoding a row needs: one per column with bins."""
        return sum(column.needs_uniform for column in self.columns)

    def encode(self, table: pa.Table, seed: int) -> Tokens:
        """Return the (S, N) tokens of a table."""
        rng = np.random.default_rng(seed)
        table = self.coding.encode(table)
        return np.concatenate(
            [column.encode(column_values(table, column.name), rng) for column in self.columns]
        )

    def decode(
        self, tokens: Tokens, u: Floats, id_values: Mapping[str, pa.Array] | None = None
    ) -> pa.RecordBatch:
        """Map (S, N) tokens and (num_decode_uniforms, N) uniforms to rows.

        `id_values` are the identifiers. Columns that are neither given nor learned are left out.
        """
        return self.decode_relations(self.decode_columns(tokens, u, id_values))

    def is_valid(self, tokens: Tokens, u: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the (N,) masks of rows that satisfy the relations of `coding` and its limits."""
        if not self.coding.may_reject:
            return np.ones(tokens.shape[1], bool), np.ones(tokens.shape[1], bool)
        return self.coding.is_valid(self.decode_columns(tokens, u), self.arrow)

    def decode_columns(
        self, tokens: Tokens, u: Floats, id_values: Mapping[str, pa.Array] | None = None
    ) -> pa.RecordBatch:
        """Return the rows as `coding` encodes them, for `decode_relations`."""
        columns = dict(id_values or {})
        unused = np.empty(tokens.shape[1])
        uniforms = iter(u)
        for column, steps in zip(self.columns, self.column_slices, strict=True):
            columns[column.name] = column.decode(
                tokens[steps], next(uniforms) if column.needs_uniform else unused
            )
        fields = [item for item in self.coded_arrow if item.name in columns]
        return pa.RecordBatch.from_arrays(
            [columns[item.name] for item in fields], schema=pa.schema(fields)
        )

    def decode_relations(
        self, coded: pa.RecordBatch, given: Mapping[str, NDArray[np.bool_]] | None = None
    ) -> pa.RecordBatch:
        """Return the rows with the columns that others determine.

        These are coded by relations, identifiers that fit their rows, totals of `sum` constraints,
        or joined texts. Identifiers stay where the (N,) masks of `given` are True.
        """
        rows = self.coding.decode(coded, self.arrow)
        for id_column in self.id_columns:
            index = rows.schema.get_field_index(id_column.name)
            if id_column.depends_on_rows and index >= 0:
                values = id_column.match_rows(rows.column(index), rows)
                if given and id_column.name in given:
                    is_given = pa.array(given[id_column.name])
                    values = pa.compute.if_else(is_given, rows.column(index), values)
                rows = rows.set_column(index, rows.schema.field(index), values)
        if self.constraints:
            rows = add_totals(rows, self.constraints, self.arrow)
        return add_joined_texts(rows, self.joined_texts, self.arrow) if self.joined_texts else rows

    def satisfies_constraints(self, tokens: Tokens, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return the (N,) mask of valid rows, given as (S, N) tokens and as values."""
        mask = np.ones(tokens.shape[1], bool)
        combinations = iter(self.fixed_combinations)
        for constraint in self.constraints:
            if constraint.kind == "fixed_combinations":
                mask &= is_one_of(tokens[self.steps_of(constraint.columns)], next(combinations))
            else:
                mask &= satisfies(constraint, rows)
        return mask

    def steps_of(self, names: Sequence[str]) -> list[int]:
        """Return the steps of columns, in sampling order."""
        pairs = zip(self.columns, self.column_slices, strict=True)
        return [
            step
            for column, steps in pairs
            if column.name in names
            for step in range(steps.start, steps.stop)
        ]

    @property
    def columns_of_keys(self) -> list[list[str]]:
        """Return the names of each key and of the learned columns that it determines."""
        names_of: dict[str, list[str]] = {}
        for name, key in self.coding.keys.items():
            names_of.setdefault(key, [key]).append(name)
        return list(names_of.values())

    def with_exclusions(self, tokens: Tokens) -> Self:
        """Return a copy that avoids combinations of values that no (S, N) training row has."""
        keys = [self.steps_of(names) for names in self.columns_of_keys]
        pairs = self.coding.columns_of_pairs.items()
        categories = {c.name for c in self.columns if isinstance(c, CategoricalColumn)}
        optional = [self.steps_of([*pair, *names]) for pair, names in pairs]
        optional += [
            self.steps_of([key, *names])
            for key, names in self.coding.exceptions_of_keys.items()
            if key in categories
        ]
        columns = self.columns, self.column_slices, self.step_sizes
        return replace(self, exclusions=Exclusions.fit(tokens, *columns, keys, optional))

    def with_row_hashes(self, table: pa.Table) -> Self:
        """Return a copy with the hashes of all rows of `table`."""
        return replace(self, hashes=hash_table(table, self.id_names))

    def is_training_row(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows whose hashes are stored; identifiers are ignored."""
        assert self.hashes is not None  # noqa: S101 - checked by the sampler
        return np.isin(hash_rows(rows, self.id_names), self.hashes)
