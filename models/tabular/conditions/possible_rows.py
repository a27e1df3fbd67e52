"""Rows that a model may generate under some conditions: refused at once, if there are none.

The relations between columns leave possible values (`relations/possible_values/`), and the
combinations of values that samples do not have (`Exclusions`) leave tokens of the learned ones.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import CategoricalColumn, Column, Floats, as_text, from_text
from models.tabular.completion.given_columns import always_gives, complete_columns
from models.tabular.conditions.condition import Condition
from models.tabular.conditions.inexact_relations import inexact_relations
from models.tabular.conditions.plan import token_masks, token_range
from models.tabular.conditions.possible_tokens import without_exclusions
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.coded_columns import DerivedColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.kinds import GIVES_TEXT
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.possible_values.exceptions import InexactRelation
from models.tabular.relations.possible_values.propagation import narrow
from models.tabular.relations.possible_values.values import Mask, PossibleValues
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import as_floats
from models.tabular.tokenizer import Tokenizer

MAX_ROUNDS = 3  # of relations and exclusions, which may narrow what the others left


@dataclass(frozen=True)
class PossibleRows:
    """Possible values of columns, and (K,) masks of possible tokens by step.

    `relations` are those that excluded values. Steps without a mask may have any token.
    """

    values: PossibleValues
    tokens: Mapping[int, NDArray[np.bool_]]
    relations: tuple[Relation | InexactRelation, ...]

    @property
    def is_empty(self) -> bool:
        no_token = any(not mask.any() for mask in self.tokens.values())
        return no_token or bool(self.values.is_empty.any())


def possible_rows(
    tokenizer: Tokenizer,
    conditions: Sequence[Condition],
    ignored: Collection[str] = (),
    *,
    by_tokens: bool = True,
) -> PossibleRows:
    """Return what the conditions leave of all rows.

    The relations whose names are `ignored` are left out, and exclusions unless `by_tokens` is set.
    """
    possible = any_values(tokenizer, 1)
    for condition in conditions:
        possible = _with_condition(possible, condition)
    possible = with_present_sources(tokenizer.coding, possible)
    relations = [each for each in all_relations(tokenizer) if each.name not in ignored]
    changed = {condition.column for condition in conditions}
    masks: dict[int, Mask] = {}
    used: dict[str, Relation | InexactRelation] = {}
    for _ in range(MAX_ROUNDS):
        possible, narrowing = narrow(possible, relations, changed)
        used |= {relation.name: relation for relation in narrowing}
        changed |= {name for relation in narrowing for name in relation.columns}
        if not by_tokens:
            break
        masks |= _tokens_of(tokenizer, conditions, possible, changed)
        narrowed = without_exclusions(tokenizer, {step: m[None] for step, m in masks.items()})
        masks = {step: mask[0] for step, mask in narrowed.items()}
        possible, changed = _with_tokens(tokenizer, possible, masks)
        possible = with_present_sources(tokenizer.coding, possible)
        if not changed:
            break
    return PossibleRows(possible, masks, tuple(used.values()))


def all_relations(tokenizer: Tokenizer) -> list[Relation | InexactRelation]:
    """Return the relations of all samples, also those with exceptions."""
    return [*tokenizer.coding.relations, *inexact_relations(tokenizer)]


def with_present_sources(coding: RelationCoding, possible: PossibleValues) -> PossibleValues:
    """Return a copy in which the numbers are present from which present ones follow.

    What always follows from present columns is present, too.
    """
    present = dict(possible.present)
    derived = [c for c in coding.columns if isinstance(c, DerivedColumn) and c.omitted]
    for column in reversed(derived):
        if column.relation.kind not in GIVES_TEXT:  # a number is missing where a source is
            for name in present.keys() & {*column.sources}:
                present[name] = present[name] | present[column.name]
    for column in derived:
        if always_gives(column) and present.keys() >= {*column.sources}:
            follows = np.logical_and.reduce([present[name] for name in column.sources])
            present[column.name] = present[column.name] | follows
    return replace(possible, present=present)


def _tokens_of(
    tokenizer: Tokenizer,
    conditions: Sequence[Condition],
    possible: PossibleValues,
    changed: Collection[str],
) -> dict[int, Mask]:
    """Return the masks of the tokens of `changed` columns that stand for possible values."""
    masks: dict[int, Mask] = {}
    for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
        is_coded = column.name in tokenizer.coding.names - tokenizer.coding.learned
        if column.name in changed and is_coded and column.layout.missing:
            masks[steps.start] = _with_or_without_gap(column, possible, conditions)
        if column.name in changed and not is_coded:
            own = [c for c in conditions if c.column == column.name]
            allowed = _allowed_tokens(column, possible, own)
            masks |= {steps.start + offset: mask for offset, mask in enumerate(allowed)}
    return masks


def _with_or_without_gap(
    column: Column, possible: PossibleValues, conditions: Sequence[Condition]
) -> Mask:
    """Return the mask of the tokens of a coded column, whose values have no tokens of their own."""
    own = [c.values for c in conditions if c.column == column.name and c.values is not None]
    must_lack = any(values.null_count == len(values) for values in own)
    mask = np.full(column.layout.step_sizes[0], not must_lack)
    mask[column.layout.missing_token] = not possible.present[column.name][0]
    return mask


def _with_tokens(
    tokenizer: Tokenizer, possible: PossibleValues, masks: Mapping[int, Mask]
) -> tuple[PossibleValues, set[str]]:
    """Return the values for which columns have tokens in the masks, and the narrowed columns."""
    changed = set()
    for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
        is_coded = column.name in tokenizer.coding.names - tokenizer.coding.learned
        if steps.start not in masks:
            continue
        if (
            column.layout.missing
            and column.name in possible.present
            and not masks[steps.start][column.layout.missing_token]
            and not possible.present[column.name].all()
        ):
            present = np.ones_like(possible.present[column.name])
            possible = replace(possible, present={**possible.present, column.name: present})
            changed.add(column.name)
        if is_coded or column.layout.sub_bins:
            continue
        before, tokens = possible, np.flatnonzero(masks[steps.start])
        if not len(tokens):
            continue
        if column.name in possible.low:
            low, high = (as_floats(values)[tokens] for values in token_range(column))
            if not np.isnan(low).all():
                ends = np.array([np.nanmin(low)]), np.array([np.nanmax(high)])
                possible = possible.with_range(column.name, *ends)
        elif column.name in possible.texts:
            values, _ = possible.texts[column.name]
            shown = as_text(column.decode(tokens[None], np.zeros(len(tokens))))
            mask = pa.compute.is_in(values, value_set=shown).to_numpy(zero_copy_only=False)
            possible = possible.with_mask(column.name, mask[None])
        if possible is not before:
            changed.add(column.name)
    return possible, changed


def any_values(tokenizer: Tokenizer, num_rows: int) -> PossibleValues:
    """Return the values that columns have in any of `num_rows` rows."""
    low: dict[str, Floats] = {}
    high: dict[str, Floats] = {}
    texts: dict[str, tuple[pa.Array, Mask]] = {}
    learned = {column.name: column for column in tokenizer.columns}
    derived = {c.name: c for c in tokenizer.coding.columns if isinstance(c, DerivedColumn)}
    near = (c for c in tokenizer.coding.columns if isinstance(c, NearColumn | CloseColumn))
    clipped = {c.name: np.array([c.low, c.high]) / 10.0 ** max(c.decimals, 0) for c in near}
    partly_coded = tokenizer.coding.names - tokenizer.coding.learned
    complete = complete_columns(
        tokenizer.coding, [c.name for c in tokenizer.columns if not c.layout.missing]
    )
    for field in tokenizer.arrow:
        if field.name in tokenizer.id_names:
            continue
        column = learned.get(field.name)
        if is_numeric(field.type):
            ends: Iterable[float] = (-np.inf, np.inf)
            if column is not None and field.name not in partly_coded:
                ends = _ends(column)
            elif field.name in clipped:
                ends = clipped[field.name]
            elif field.name in tokenizer.coding.limits:
                ends = tokenizer.coding.limits[field.name]
            low[field.name], high[field.name] = (np.full(num_rows, float(end)) for end in ends)
            continue
        values: dict[str, None] = {}
        if isinstance(column, CategoricalColumn):
            values |= dict.fromkeys(column.categories.to_pylist())
        relation = derived[field.name].relation if field.name in derived else None
        if relation is not None and relation.kind in GIVES_TEXT:
            values |= dict.fromkeys(text for text in relation.values if text is not None)
        if values:
            array = pa.array(values, pa.string())
            texts[field.name] = array, np.ones((num_rows, len(array)), bool)
    present = {name: np.full(num_rows, name in complete) for name in tokenizer.arrow.names}
    return PossibleValues(tokenizer.arrow, low, high, texts, present)


def _ends(column: Column) -> tuple[float, float]:
    """Return the smallest and the largest number of a learned column."""
    if isinstance(column, CategoricalColumn):
        numbers = as_floats(column.decode_categories())
    else:
        numbers = np.concatenate([as_floats(values) for values in token_range(column)])
    numbers = numbers[np.isfinite(numbers)]
    return (float(numbers.min()), float(numbers.max())) if len(numbers) else (-np.inf, np.inf)


def _with_condition(possible: PossibleValues, condition: Condition) -> PossibleValues:
    """Return what a condition leaves of the values of its column."""
    name = condition.column
    present = np.array([not _may_lack(condition)])
    possible = replace(possible, present={**possible.present, name: present})
    if name in possible.low:
        low, high = -np.inf, np.inf
        if condition.values is not None and len(numbers := condition.values.drop_null()):
            low, high = as_floats(numbers).min(), as_floats(numbers).max()
        for operator, bound in condition.bounds:
            number = as_floats(pa.array([bound.as_py()], bound.type))[0]
            if operator in ("gte", "gt"):
                low = max(low, number if operator == "gte" else np.nextafter(number, np.inf))
            else:
                high = min(high, number if operator == "lte" else np.nextafter(number, -np.inf))
        return possible.with_range(name, np.array([low]), np.array([high]))
    if name in possible.texts:
        values, _ = possible.texts[name]
        arrow = possible.arrow.field(name).type
        return possible.with_mask(name, condition.matches(from_text(values, arrow))[None])
    return possible


def _may_lack(condition: Condition) -> bool:
    """Return True if a missing value meets a condition."""
    return condition.values is not None and condition.values.null_count > 0


def _allowed_tokens(
    column: Column, possible: PossibleValues, conditions: Sequence[Condition]
) -> list[Mask]:
    """Return the masks of the tokens of a column that stand for possible values, by step."""
    first = np.ones(column.layout.step_sizes[0], bool)
    masks = [first]
    if column.name in possible.low and not isinstance(column, CategoricalColumn):
        low, high = (as_floats(values) for values in token_range(column))
        overlaps = (low <= possible.high[column.name]) & (high >= possible.low[column.name])
        first[:] = overlaps | np.isnan(low)
    elif column.name in possible.texts and isinstance(column, CategoricalColumn):
        values, mask = possible.texts[column.name]
        chosen = values.filter(pa.array(mask[0]))
        masks = [np.zeros(size, bool) for size in column.layout.step_sizes]
        tokens = column.encode(from_text(chosen, column.arrow), None)
        for each, step_tokens in zip(masks, tokens, strict=True):
            each[step_tokens] = True
        masks[0][column.layout.missing_token :] = True
        if column.layout.missing and len(masks) > 1:
            for each in masks[1:]:
                each[0] = True
    if column.layout.missing and bool(possible.present[column.name][0]):
        masks[0][column.layout.missing_token :] = False
    for condition in conditions:
        masks[0] = masks[0] & token_masks(column, condition)[0].numpy()
    return masks
