"""Tokens of given numbers that are coded relative to numbers that are not given.

Such a number has no token before its base is sampled, as a ratio needs both. So its token is
determined while the row is sampled.
"""

from functools import partial

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.placement import upload
from models.tabular.autoregressive.sampler import LateTokens
from models.tabular.categorical_columns import Column, Floats
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.rows import as_floats
from models.tabular.sampled_values import UNKNOWN_TOKEN, PartlyGivenValues
from models.tabular.tokenizer import Tokenizer


def late_tokens(partial_rows: PartialRows, tokenizer: Tokenizer, decode_u: Floats) -> LateTokens:
    """Return the tokens of given values that are coded relative to values that are not given.

    `decode_u` are the uniforms of `Tokenizer.decode_columns`.
    """
    result = {}
    for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
        near = tokenizer.coding.near.get(column.name)
        if near is None or column.name not in partial_rows.values:
            continue
        nothing = np.zeros(partial_rows.tokens.shape[1], bool)
        has_bases = np.logical_and.reduce(
            [partial_rows.given.get(n, nothing) for n in near.sources]
        )
        if (is_late := partial_rows.given[column.name] & ~has_bases).any():
            result[steps.start] = partial(
                _tokens_given_base, partial_rows, tokenizer, decode_u, column, near, is_late
            )
    return result


def _tokens_given_base(
    partial_rows: PartialRows,
    tokenizer: Tokenizer,
    decode_u: Floats,
    column: Column,
    near: NearColumn,
    is_late: NDArray[np.bool_],
    tokens: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the tokens of a column in the rows `is_late`, given those of its base.

    Also return the probabilities of the given values, up to a factor, if these tokens are
    sampled. The B rows of `tokens` repeat the `partial_rows`.
    """
    repeats = tokens.shape[1] // len(is_late)
    sampled, values = tokens.cpu().numpy(), partial_rows.values[column.name]
    values = pa.concat_arrays([values] * repeats)
    sampled_values = partly_given_values(tokenizer, partial_rows, decode_u, repeats)
    arrays = {name: sampled_values.of(name, sampled) for name in near.sources}
    rows = pa.RecordBatch.from_pydict({near.name: values, **arrays})
    coded = near.encode(rows, values.type)
    late = column.encode(coded, None)
    low, high = (as_floats(column.decode(late, np.full(len(coded), u))) for u in (0.0, 1.0))
    numbers = as_floats(coded)
    width = np.maximum(high - low + (near.kind == "copy"), 1e-12)
    # Beyond the training values, the probability falls instead of that of the last bin.
    outside = np.abs(numbers - np.clip(numbers, low, high)) / width
    probability = np.where(high > low, 1 / width, 1.0) / (1 + outside**4)
    if near.kind == "ratio":  # a width of the ratio is wider if the base is larger
        probability /= np.maximum(near.bases(rows), 1e-12)
    late[:, ~np.tile(is_late, repeats)] = UNKNOWN_TOKEN
    weight = np.nan_to_num(probability, nan=1.0).astype(np.float32)
    return upload(torch.from_numpy(late), tokens.device), upload(
        torch.from_numpy(weight), tokens.device
    )


def partly_given_values(
    tokenizer: Tokenizer, partial_rows: PartialRows, decode_u: Floats, repeats: int
) -> PartlyGivenValues:
    """Return the values of rows that repeat the N partial rows, with (U, N) uniforms."""
    index = np.tile(np.arange(decode_u.shape[1]), repeats)
    repeated = partial_rows.take(index)
    return PartlyGivenValues(tokenizer.sampled_columns, decode_u[:, index], repeated.overwrite)
