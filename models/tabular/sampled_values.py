"""Values of columns while a row is sampled, and tokens that follow from them.

A number that is close to another one is decoded as the base times a sampled ratio
(`close_columns.py`). Later columns see its own tokens. If these were sampled, they would only
nearly agree with the product, and along a chain of numbers, such as the balances of six months, the
errors would add up. So they are computed, and with them the tokens of its ratio to the first number
of the chain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from models.placement import upload
from models.tabular.categorical_columns import Column, Floats, Tokens
from models.tabular.relations.coding import NO_CODING, RelationCoding
from models.tabular.relations.near.close_columns import CloseColumn

UNKNOWN_TOKEN = -1  # a token that is not given, or does not follow from others
Overwrite = Callable[[str, pa.Array], pa.Array]  # given values of a column replace sampled ones


@dataclass(frozen=True)
class SampledColumns:
    """The columns of a tokenizer, and their steps."""

    columns: Sequence[Column] = ()
    slices: Sequence[slice] = ()
    coding: RelationCoding = NO_CODING
    arrow: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @cached_property
    def index(self) -> Mapping[str, int]:
        return {column.name: i for i, column in enumerate(self.columns)}

    @cached_property
    def close(self) -> Mapping[str, CloseColumn]:
        """The numbers with a ratio to another one."""
        return {close.name: close for close in self.coding.close.values()}

    @cached_property
    def chains(self) -> Mapping[str, CloseColumn]:
        """The numbers with a ratio to the first one of their chain, by the names of the ratios."""
        return {close.chain_ratio_name: close for close in self.close.values() if close.first}

    @cached_property
    def following(self) -> Mapping[int, str]:
        """The columns whose tokens may follow from earlier ones, by all of their steps."""
        names = [name for name in (*self.close, *self.chains) if name in self.index]
        steps = {name: self.slices[self.index[name]] for name in names}
        return {i: name for name in names for i in range(steps[name].start, steps[name].stop)}

    @cached_property
    def computed(self) -> frozenset[int]:
        """The steps whose tokens follow from earlier ones in all rows."""
        return frozenset(i for i, name in self.following.items() if name in self.chains)

    @property
    def num_uniforms(self) -> int:
        """Return how many uniforms of the decoder a row needs while it is sampled."""
        return sum(column.needs_uniform for column in self.columns) if self.following else 0


NO_COLUMNS = SampledColumns()


class SampledValues:
    """The values of a batch of rows, of which some columns are sampled.

    `decode_u` (num_decode_uniforms, B) are the uniforms of `Tokenizer.decode_columns`.
    """

    def __init__(self, columns: SampledColumns, decode_u: Floats) -> None:
        self._columns, self._decode_u = columns, decode_u
        self._values: dict[str, pa.Array] = {}
        self._tokens: dict[str, Tokens] = {}

    def following_tokens(self, step: int, tokens: Tensor) -> Tensor | None:
        """Return the (B,) tokens of a step, UNKNOWN_TOKEN where they do not follow from others.

        Of the (S, B) tokens, those before the column of the step are sampled. Return None for the
        steps of all other columns.
        """
        name = self._columns.following.get(step)
        if name is None:
            return None
        steps = self._columns.slices[self._columns.index[name]]
        following = self._following(name, tokens.cpu().numpy())[step - steps.start]
        return upload(torch.from_numpy(following), tokens.device)

    def _following(self, name: str, tokens: Tokens) -> Tokens:
        """Return the (steps, B) tokens of a column that follow from others."""
        if name not in self._tokens:
            self._tokens[name] = self._compute(name, tokens)
        return self._tokens[name]

    def _compute(self, name: str, tokens: Tokens) -> Tokens:
        column = self._columns.columns[self._columns.index[name]]
        if name in self._columns.chains:
            return column.encode(self._chain_ratios(self._columns.chains[name], tokens), None)
        products = self._products(self._columns.close[name], tokens)
        follows = products.is_valid().to_numpy(zero_copy_only=False)
        return np.where(follows, column.encode(products, None), UNKNOWN_TOKEN)

    def of(self, name: str, tokens: Tokens) -> pa.Array:
        """Return the (B,) values of a column that no exact relation codes, given (S, B) tokens."""
        if name not in self._values:
            self._values[name] = self._of(name, tokens)
        return self._values[name]

    def _of(self, name: str, tokens: Tokens) -> pa.Array:
        columns = self._columns
        values = self._decoded(name, tokens)
        coded = columns.coding.near.get(name) or columns.close.get(name)
        if coded is None:
            return values
        arrays = {source: self.of(source, tokens) for source in coded.sources}
        arrays[name] = values
        if isinstance(coded, CloseColumn):
            arrays[coded.ratio_name] = self.of(coded.ratio_name, tokens)
        rows = pa.RecordBatch.from_pydict(arrays)
        return coded.decode(rows, columns.arrow.field(name).type)

    def _decoded(self, name: str, tokens: Tokens) -> pa.Array:
        """Return the values that the tokens of a column stand for."""
        index = self._columns.index[name]
        column, u = self._columns.columns[index], np.zeros(tokens.shape[1])
        if column.needs_uniform:
            u = self._decode_u[sum(c.needs_uniform for c in self._columns.columns[:index])]
        return column.decode(np.maximum(tokens[self._columns.slices[index]], 0), u)

    def _products(self, close: CloseColumn, tokens: Tokens) -> pa.Array:
        """Return the base times the ratio, missing where there is no ratio."""
        arrow = self._columns.arrow.field(close.name).type
        arrays = {name: self.of(name, tokens) for name in (close.base, close.ratio_name)}
        arrays[close.name] = pa.nulls(tokens.shape[1], arrow)
        return close.decode(pa.RecordBatch.from_pydict(arrays), arrow)

    def _chain_ratios(self, close: CloseColumn, tokens: Tokens) -> pa.Array:
        arrays = {name: self.of(name, tokens) for name in (close.name, close.first)}
        return close.encode_chain_ratio(pa.RecordBatch.from_pydict(arrays))


class PartlyGivenValues(SampledValues):
    """The same for rows with given values, by the function that replaces the sampled ones.

    Rows may be resampled between the steps, so no values are kept.
    """

    def __init__(self, columns: SampledColumns, decode_u: Floats, overwrite: Overwrite) -> None:
        super().__init__(columns, decode_u)
        self._overwrite = overwrite

    def of(self, name: str, tokens: Tokens) -> pa.Array:
        return self._overwrite(name, self._of(name, tokens))

    def _following(self, name: str, tokens: Tokens) -> Tokens:
        return self._compute(name, tokens)
