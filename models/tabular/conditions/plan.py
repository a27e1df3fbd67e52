"""Plan of the method by which conditions on sampled rows are satisfied.

The tokens of a column are restricted where that gives the right distribution of rows. The other
conditions reject candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from models.tabular.autoregressive.sampler import AllowedTokens
from models.tabular.categorical_columns import CategoricalColumn, Column, similar_values
from models.tabular.conditions.condition import (
    NO_MATCH,
    Condition,
    InvalidCondition,
    NoMatchingValue,
    not_a_column,
)
from models.tabular.relations.dates.calendar_columns import CalendarColumn
from models.tabular.tokenizer import Tokenizer


@dataclass(frozen=True)
class ConditionPlan:
    """The method by which conditions are satisfied.

    `allowed` restricts the tokens of some steps. `order` samples these steps first (None: default
    order). `rejection_conditions` reject candidates, and so does `exclude_training_rows`. Several
    conditions may contradict a relation (`may_contradict`): then no row satisfies them.
    """

    allowed: AllowedTokens
    order: list[int] | None
    rejection_conditions: list[Condition]
    exclude_training_rows: bool
    may_contradict: bool


def plan_conditions(
    tokenizer: Tokenizer,
    specs: Mapping[str, Any],
    *,
    supports_any_order: bool,
    exclude_training_rows: bool,
) -> ConditionPlan:
    """Plan how to satisfy conditions; `specs` maps columns to what `Condition.parse` accepts.

    A condition on the first column is satisfied by its tokens. If any column can be sampled first,
    so are those on other columns, as long as at most one has more than one allowed token per step.

    Raises:
        InvalidCondition: A column is unknown, or no token satisfies its condition.
    """
    parsed = parse_conditions(tokenizer, specs)
    # The tokens of a coded column do not say what its value is, but those of a date say its day
    # or week, and those of a learned column mostly agree with the columns that determine it.
    dates = {c.name: c for c in tokenizer.coding.columns if isinstance(c, CalendarColumn)}
    coded = [condition for condition in parsed if condition.column in tokenizer.coding.names]
    relaxed = [
        each
        for condition in coded
        if condition.column in dates
        for each in dates[condition.column].relax(condition)
    ]
    relaxed += [c for c in coded if c.column in tokenizer.coding.learned]
    conditions = [condition for condition in parsed if condition not in coded] + relaxed
    masks = {condition.column: _masks(tokenizer, condition) for condition in conditions}
    direct = [c for c in conditions if c.column == tokenizer.columns[0].name]
    if supports_any_order:
        # With two open columns, sampling one after the other ignores how likely the second is.
        direct = [c for c in conditions if all(mask.sum() == 1 for mask in masks[c.column])]
        direct += [c for c in conditions if c not in direct][:1]
    names = [column.name for column in tokenizer.columns]
    allowed: dict[int, Tensor] = {}
    for condition in direct:
        start = tokenizer.column_slices[names.index(condition.column)].start
        allowed |= enumerate(masks[condition.column], start)
    leading_columns = [condition.column for condition in direct]
    return ConditionPlan(
        allowed,
        tokenizer.steps_in_order(leading_columns)
        if supports_any_order and leading_columns
        else None,
        coded
        + [
            condition
            for condition in conditions
            if condition not in relaxed
            and (
                condition not in direct
                or not _is_satisfied_by_tokens(_column(tokenizer, condition), condition)
            )
        ],
        exclude_training_rows,
        may_contradict=len(parsed) > 1,
    )


def parse_conditions(tokenizer: Tokenizer, specs: Mapping[str, Any]) -> list[Condition]:
    """Parse conditions by column (see `Condition.parse`). Raises InvalidCondition."""
    learned = {*tokenizer.column_names, *tokenizer.coding.names}
    for name in specs:
        if name not in learned:
            message = not_a_column(name, learned, tokenizer.id_names)
            raise InvalidCondition(name, message)
    return [Condition.parse(tokenizer.arrow.field(name), spec) for name, spec in specs.items()]


def _masks(tokenizer: Tokenizer, condition: Condition) -> list[Tensor]:
    """Return the masks of tokens of a condition. Raises NoMatchingValue, never for a part."""
    try:
        return token_masks(_column(tokenizer, condition), condition)
    except NoMatchingValue as error:
        if condition.column not in tokenizer.coding.parts:
            raise
        name = tokenizer.coding.parts[condition.column].name
        raise NoMatchingValue(name, NO_MATCH) from error


def _column(tokenizer: Tokenizer, condition: Condition) -> Column:
    return next(column for column in tokenizer.columns if column.name == condition.column)


def _is_satisfied_by_tokens(column: Column, condition: Condition) -> bool:
    """Return True if every allowed token satisfies the condition, so no rejection is needed."""
    return column.layout.bins == 0 or _selects_one_category(column, condition)


def _selects_one_category(column: Column, condition: Condition) -> bool:
    values = condition.values
    return (
        isinstance(column, CategoricalColumn)
        and values is not None
        and len(values) == 1
        and values[0].is_valid
    )


def token_masks(column: Column, condition: Condition) -> list[Tensor]:
    """Return the masks of the tokens that can satisfy the condition.

    One for each of the column's steps, or for its first step only. Raises NoMatchingValue.
    """
    if isinstance(column, CategoricalColumn) and column.layout.bins:
        masks = _category_masks(column, condition)
    else:
        masks = [_first_step_mask(column, condition)]
    if not masks[0].any():
        raise NoMatchingValue(
            column.name,
            NO_MATCH + similar_values(column, [] if condition.values is None else condition.values),
        )
    return masks


def _first_step_mask(column: Column, condition: Condition) -> Tensor:
    """Return the mask of first-step tokens that can satisfy the condition.

    A bin can if any value between its ends does.
    """
    low, high = token_range(column)
    mask = condition.matches(low)
    first_tokens = np.arange(column.layout.step_sizes[0])
    if bins := np.flatnonzero(column.layout.is_bin(first_tokens)).tolist():
        mask[bins] = condition.can_match(low.take(pa.array(bins)), high.take(pa.array(bins)))
    return torch.from_numpy(mask)


def token_range(column: Column) -> tuple[pa.Array, pa.Array]:
    """Return the smallest and the largest value of each first-step token (K,) of a column."""
    tokens = np.arange(column.layout.step_sizes[0])
    sub_bins = column.layout.sub_bins
    low = np.stack([tokens, *(np.full(len(tokens), 1) for _ in sub_bins)])
    high = np.stack([tokens, *(np.full(len(tokens), size) for size in sub_bins)])
    return column.decode(low, np.zeros(len(tokens))), column.decode(high, np.ones(len(tokens)))


def _category_masks(column: CategoricalColumn, condition: Condition) -> list[Tensor]:
    """Return the mask of the bins of matching categories.

    For a single category, the masks of its sub-bins follow.
    """
    categories = column.decode_categories()
    matching = categories.filter(pa.array(condition.matches(categories)))
    tokens = column.encode(matching, np.random.default_rng(0))
    masks = [torch.zeros(size, dtype=torch.bool) for size in column.layout.step_sizes]
    for mask, step_tokens in zip(masks, tokens, strict=True):
        mask[torch.from_numpy(step_tokens)] = True
    if column.layout.missing:
        masks[0][-1] = bool(condition.matches(pa.nulls(1, column.arrow))[0])
    return masks if _selects_one_category(column, condition) else masks[:1]
