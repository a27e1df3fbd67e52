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

from models.tables.columns import (
    Arrays,
    CategoryColumn,
    Column,
    Floats,
    Layout,
    Tokens,
    as_text,
)
from models.tables.identifiers import Identifier
from models.tables.keeping import holds, with_totals
from models.tables.numbers import NumberColumn
from models.tables.rules import Rule
from models.tables.schema import ColumnSchema, UnfitColumn

FEW = 5_000  # rows
PREFIX = "encoding."  # of the names of tensors
HASHED_AT_ONCE = 65_536  # rows
GONE, BETWEEN = "\x00", "\x1f"  # in what is hashed: a missing value, and what parts two values
TESTED_ROWS, TESTED_PARTNERS = 20_000, 24
DEPENDENT = 5.0  # standard deviations: what chance does not give


@dataclass(frozen=True)
class Encoding:
    """`arrow` is the schema of the table as it came, `columns` what is learned of it.
    `combinations` has, for each of the rules that is of this kind, (S', U) tokens that go together;
    `hashes`, in order, those of rows that samples can be asked not to repeat.
    """

    arrow: pa.Schema
    columns: tuple[Column, ...]
    identifiers: tuple[Identifier, ...]
    label: str | None
    rules: tuple[Rule, ...] = ()
    combinations: tuple[Tokens, ...] = ()
    hashes: NDArray[np.int64] | None = None

    @classmethod
    def fit(
        cls,
        table: pa.Table,
        schema: Sequence[ColumnSchema],
        *,
        label: str | None,
        seed: int,
        fine: bool = False,
        rules: Sequence[Rule] = (),
        min_count: int = 0,
    ) -> Self:
        """With `fine`, every number that has bins gets a second step. Raises UnfitColumn, naming
        the column."""
        types = _types(table.schema, schema, label)
        for rule in rules:
            types.pop(rule.total or "", None)
        names = [name for name, kind in types.items() if kind != "id"]
        if not names:
            raise UnfitColumn(next(iter(types), ""), "no column is left to learn from")
        columns = [_fit(name, types[name], _array(table, name), min_count) for name in names]
        columns.sort(key=lambda column: _place(column, label, len(table)))
        identifiers = tuple(
            Identifier.fit(name, table.schema.field(name).type, _array(table, name), min_count)
            for name, kind in types.items()
            if kind == "id"
        )
        refined = _refined(columns, table, seed, all_of_them=fine)
        bare = cls(table.schema, tuple(refined), identifiers, label, tuple(rules))
        return replace(bare, combinations=tuple(bare._combinations(table, seed, min_count)))

    def _combinations(self, table: pa.Table, seed: int, min_count: int) -> Iterator[Tokens]:
        """Those that `min_count` rows have. Raises UnfitColumn where there are none."""
        rng = np.random.default_rng(seed)
        for rule in self.rules:
            if rule.kind != "together":
                continue
            mine = [column for column in self.columns if column.name in rule.columns]
            for column in mine:
                if column.draws:
                    raise UnfitColumn(column.name, "has too many values to keep combinations of")
            tokens = np.concatenate([c.encode(_array(table, c.name), rng) for c in mine])
            found, counts = np.unique(tokens, axis=1, return_counts=True)
            if not (counts >= min_count).any():
                message = f"has no value that {min_count} rows have together with others"
                raise UnfitColumn(rule.columns[0], message)
            yield found[:, counts >= min_count]

    @property
    def sizes(self) -> list[int]:
        """Tokens of each step of a row."""
        return [size for column in self.columns for size in column.layout.sizes]

    @property
    def labelled(self) -> bool:
        """Whether the first step alone is the label."""
        first = self.columns[0]
        return first.name == self.label and first.layout.groups == 0

    @property
    def positions(self) -> list[Floats]:
        return [position for column in self.columns for position in column.positions]

    @cached_property
    def steps(self) -> list[slice]:
        """Where each column's steps lie."""
        ends = list(accumulate(len(column.layout.sizes) for column in self.columns))
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def steps_of(self, first: Sequence[str]) -> list[int]:
        """All steps, those of the columns of these names before the others."""
        place = {name: i for i, name in enumerate(first)}
        ranked = sorted(
            zip(self.columns, self.steps, strict=True),
            key=lambda pair: place.get(pair[0].name, len(place)),
        )
        return [step for _, steps in ranked for step in range(steps.start, steps.stop)]

    @property
    def digits(self) -> list[tuple[int, int, int] | None]:
        """For each step that is a digit: the first step of its column, and from which token to
        before which that holds groups."""
        found: list[tuple[int, int, int] | None] = []
        for column, steps in zip(self.columns, self.steps, strict=True):
            layout = column.layout
            inside = (steps.start, layout.atoms, layout.atoms + layout.groups)
            found += [None] + [inside] * len(layout.digits)
        return found

    @property
    def draws(self) -> int:
        """Numbers that a row takes beside its steps: for the place inside a bin."""
        return sum(column.draws for column in self.columns)

    def encode(self, table: pa.Table, seed: int) -> Tokens:
        """(S, N)."""
        rng = np.random.default_rng(seed)
        return np.concatenate([c.encode(_array(table, c.name), rng) for c in self.columns])

    def decode(
        self, tokens: Tokens, u: Floats, names: Mapping[str, pa.Array] | None = None
    ) -> pa.RecordBatch:
        """(S, N) tokens and (draws, N) numbers in (0, 1) to rows. `names` are the identifiers'
        values; columns that are not there and not learned are left out."""
        made = dict(names or {})
        unused = np.empty(tokens.shape[1])
        draw = iter(u)
        for column, steps in zip(self.columns, self.steps, strict=True):
            made[column.name] = column.decode(tokens[steps], next(draw) if column.draws else unused)
        kept = [name for name in self.arrow.names if name in made]
        fields = [self.arrow.field(name) for name in kept]
        rows = pa.RecordBatch.from_arrays([made[name] for name in kept], schema=pa.schema(fields))
        return with_totals(rows, self.rules, self.arrow) if self.rules else rows

    def keeps_rules(self, tokens: Tokens, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """(S, N) tokens and their rows to (N,)."""
        held = np.ones(tokens.shape[1], bool)
        together = iter(self.combinations)
        for rule in self.rules:
            if rule.kind == "together":
                held &= _among(tokens[self._steps_named(rule.columns)], next(together))
            else:
                held &= holds(rule, rows)
        return held

    def _steps_named(self, names: Sequence[str]) -> list[int]:
        pairs = zip(self.columns, self.steps, strict=True)
        return [i for c, steps in pairs if c.name in names for i in range(steps.start, steps.stop)]

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        """What `unpack` needs: JSON, and arrays by name."""
        columns, arrays = [], {}
        for number, column in enumerate(self.columns):
            told, mine = column.pack()
            columns.append({"name": column.name, "layout": column.layout.to_json(), **told})
            arrays.update({f"columns.{number}.{name}": array for name, array in mine.items()})
        arrays["schema"] = np.frombuffer(self.arrow.serialize(), np.uint8).copy()
        arrays |= {f"together.{i}": tokens for i, tokens in enumerate(self.combinations)}
        if self.hashes is not None:
            arrays["hashes"] = self.hashes
        about = {
            "columns": columns,
            "identifiers": [{"name": i.name, **i.to_json()} for i in self.identifiers],
            "label": self.label,
            "rules": [rule.to_dict() for rule in self.rules],
        }
        return about, arrays

    @classmethod
    def unpack(cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        arrow = pa.ipc.read_schema(pa.BufferReader(arrays["schema"].tobytes()))
        columns = [
            _unpack(column, arrow.field(column["name"]).type, arrays, f"columns.{number}")
            for number, column in enumerate(about["columns"])
        ]
        identifiers = [
            Identifier(i["name"], arrow.field(i["name"]).type, i["first"], tuple(i["places"]))
            for i in about["identifiers"]
        ]
        rules = tuple(Rule.from_dict(rule) for rule in about["rules"])
        together = sum(rule.kind == "together" for rule in rules)
        kept = tuple(arrays[f"together.{i}"] for i in range(together))
        return cls(
            arrow,
            tuple(columns),
            tuple(identifiers),
            about["label"],
            rules,
            kept,
            arrays.get("hashes"),
        )

    def knowing(self, table: pa.Table) -> Self:
        """The same with the hashes of all rows."""
        hashes = [self._hashes(batch) for batch in table.to_batches(max_chunksize=HASHED_AT_ONCE)]
        return replace(self, hashes=np.unique(np.concatenate(hashes)))

    def is_copy(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """(N,): whether a row is among those whose hashes are kept, identifiers aside."""
        assert self.hashes is not None  # noqa: S101 - the sampler has looked
        return np.isin(self._hashes(rows), self.hashes)

    def _hashes(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        ids = {identifier.name for identifier in self.identifiers}
        texts = [
            as_text(column).fill_null(GONE)
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
            if name not in ids
        ]
        lines = pa.compute.binary_join_element_wise(*texts, BETWEEN).to_pylist()
        digests = b"".join(blake2b(line.encode(), digest_size=8).digest() for line in lines)
        return np.frombuffer(digests, np.int64)

    def to_tensors(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        about, arrays = self.pack()
        return about, {f"{PREFIX}{n}": torch.from_numpy(array) for n, array in arrays.items()}

    @classmethod
    def of_tensors(cls, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """From the tensors of a file that may hold others too."""
        mine = {n: t.numpy() for n, t in tensors.items() if n.startswith(PREFIX)}
        return cls.unpack(about, {n.removeprefix(PREFIX): array for n, array in mine.items()})


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
    many = isinstance(column, NumberColumn) and column.layout.groups > 0
    return 1 if many and rows < FEW else -1


def _types(arrow: pa.Schema, schema: Sequence[ColumnSchema], label: str | None) -> dict[str, str]:
    """Type by name, in the table's order."""
    types = {column.name: column.type for column in schema if column.kept}
    for name in [*types, *([] if label is None else [label])]:
        if len(arrow.get_all_field_indices(name)) != 1:
            raise UnfitColumn(name, "is not one column of the table")
    if label is not None and types.get(label, "id") == "id":
        raise UnfitColumn(label, "cannot be the label: it is not learned")
    return {name: types[name] for name in arrow.names if name in types}


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _fit(name: str, kind: str, values: pa.Array, min_count: int) -> Column:
    arrow = values.type
    if kind in ("category", "boolean") or pa.types.is_null(arrow):
        try:
            return CategoryColumn.fit(name, arrow, values, min_count)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnfitColumn(name, f"a column of {arrow} has no names to learn") from error
    return NumberColumn.fit(name, arrow, values, min_count)


def _unpack(
    about: Mapping[str, Any], arrow: pa.DataType, arrays: Mapping[str, NDArray[Any]], prefix: str
) -> Column:
    layout = Layout.from_json(about["layout"])
    if about["kind"] == "category":
        names = pa.array(about["names"], pa.string())
        return CategoryColumn(about["name"], arrow, names, layout, tuple(about["counts"]))
    mine = {name: arrays[f"{prefix}.{name}"] for name in ("atoms", "quantiles", "ends", "middles")}
    return NumberColumn.unpack(about, layout, arrow, mine)


def _refined(
    columns: list[Column], table: pa.Table, seed: int, *, all_of_them: bool
) -> list[Column]:
    """A second step for each number whose place inside its bin depends on another column."""
    rng = np.random.default_rng(seed)
    table = table.slice(0, TESTED_ROWS)
    binned = [i for i, c in enumerate(columns) if isinstance(c, NumberColumn) and c.layout.groups]
    if not binned:
        return columns
    first = {i: c.encode(_array(table, c.name), rng)[0] for i, c in enumerate(columns)}
    refined: list[Column] = list(columns)
    for i in binned:
        column = columns[i]
        assert isinstance(column, NumberColumn)  # noqa: S101 - `binned` holds only these
        fine = column.finer(int(column.layout.grouped(first[i]).sum()))
        if all_of_them:
            refined[i] = fine
            continue
        partners = [j for j in range(len(columns)) if j != i]
        for j in rng.permutation(partners)[:TESTED_PARTNERS]:
            if fine is not column and _depends(fine, column, table, first[j], rng):
                refined[i] = fine
                break
    return refined


def _depends(
    fine: NumberColumn,
    column: NumberColumn,
    table: pa.Table,
    partner: Tokens,
    rng: np.random.Generator,
) -> bool:
    """Whether the half of the bin in which a number lies depends on `partner` (N,): for each pair
    of a bin and a partner's token, (lower - upper)**2 / (lower + upper) is 1 on average where the
    two halves are equally likely, with a variance of at most 2."""
    tokens = fine.encode(_array(table, column.name), rng)
    inside = fine.layout.grouped(tokens[0])
    upper = tokens[1, inside] > fine.layout.digits[0] / 2
    cell = (tokens[0, inside] - fine.layout.atoms) * (partner.max() + 1) + partner[inside]
    lower_count = np.bincount(cell[~upper], minlength=cell.max() + 1)
    upper_count = np.bincount(cell[upper], minlength=cell.max() + 1)
    both = lower_count + upper_count
    seen = both > 1
    surprise = (lower_count - upper_count)[seen] ** 2 / both[seen]
    return float(surprise.sum() - seen.sum()) > DEPENDENT * float(np.sqrt(2 * max(seen.sum(), 1)))
