"""Requested values that no row has together, refused before any row is sampled.

The message names the values that contradict each other, the relations that say so, and what the
last of these columns may be instead.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.autoregressive.sampler import UNKNOWN_TOKEN
from models.tabular.categorical_columns import Tokens, from_text
from models.tabular.completion.given_columns import NEVER_MISSING
from models.tabular.conditions.condition import (
    NO_MATCH,
    Alternatives,
    Condition,
    InvalidCondition,
    InvalidPartialRow,
    NoMatchingValue,
)
from models.tabular.conditions.plan import token_range
from models.tabular.conditions.possible_rows import (
    PossibleRows,
    any_values,
    possible_rows,
    without_exclusions,
)
from models.tabular.numbers.grid import NumberGrid, is_numeric
from models.tabular.relations.possible_values import PossibleValues
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import as_floats
from models.tabular.tokenizer import Tokenizer

MAX_NAMED = 3  # texts or relations in an error message
CHUNK = 256  # rows that are checked at once
# What the requested values of some columns leave, without the relations of some names. The last
# argument says whether exclusions count, too.
Leave = Callable[[Sequence[str], Collection[str], bool], PossibleRows]


def check_conditions(tokenizer: Tokenizer, conditions: Sequence[Condition]) -> PossibleRows:
    """Return what conditions leave of all rows. Raises InvalidCondition if it is nothing."""
    complete = any_values(tokenizer, 1).present
    for condition in conditions:
        values = condition.values
        if (
            values is not None
            and values.null_count == len(values)
            and complete[condition.column][0]
        ):
            raise InvalidCondition(condition.column, NEVER_MISSING)
    by_name = {condition.column: condition for condition in conditions}

    def leave(names: Sequence[str], ignored: Collection[str], by_tokens: bool) -> PossibleRows:
        own = [by_name[name] for name in names]
        return possible_rows(tokenizer, own, ignored, by_tokens=by_tokens)

    try:
        possible = leave(list(by_name), (), True)
    except NoMatchingValue as error:
        alternatives = _alternatives(tokenizer, error.column, leave((), (), True))
        if alternatives is None or alternatives.kind != "range":
            raise
        raise NoMatchingValue(error.column, f"{NO_MATCH}; its values are", alternatives) from error
    if not possible.is_empty:
        return possible
    found = _explain(tokenizer, list(by_name), leave)
    if not found.others:
        reason = f"{NO_MATCH}; its values are" if found.alternatives else NO_MATCH
        raise NoMatchingValue(found.column, reason, found.alternatives)
    raise InvalidCondition(found.column, found.reason, found.alternatives)


def check_given_values(
    tokenizer: Tokenizer,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
    tokens: Tokens,
) -> None:
    """Raise InvalidPartialRow if values that are given contradict each other.

    Single values may be beyond those of the training rows, and so may what follows from them.
    """
    relations = _without_pairs(tokenizer)
    count = tokens.shape[1] if given else 0
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        own = {name: mask[rows] for name, mask in given.items()}
        possible = _given_values(tokenizer, {n: a[rows] for n, a in values.items()}, own)
        possible, _ = possible.narrowed(relations, list(given))
        is_bad = possible.is_empty | _has_exclusion(tokenizer, tokens[:, rows])
        if is_bad.any():
            row = start + int(is_bad.argmax())
            _refuse(tokenizer, row, values, given, tokens[:, row])


def _without_pairs(tokenizer: Tokenizer) -> list[Relation]:
    """Return the relations that given values satisfy: those of pairs of values may be new."""
    return [relation for relation in tokenizer.coding.relations if not relation.has_pairs]


def _given_values(
    tokenizer: Tokenizer, values: Mapping[str, pa.Array], given: Mapping[str, NDArray[np.bool_]]
) -> PossibleValues:
    """Return the possible values of rows with given ones, without any relation.

    What follows from given values may exceed the range of the training rows by half of it, or, if a
    given number is beyond this range itself, be any number (see `RelationCoding.is_plausible`).
    """
    count = len(next(iter(given.values())))
    possible = any_values(tokenizer, count)
    low, high, texts = dict(possible.low), dict(possible.high), dict(possible.texts)
    present, is_beyond = dict(possible.present), np.zeros(count, bool)
    numbers = {name: as_floats(values[name]) for name in given if name in low}
    for name, own in numbers.items():
        is_beyond |= given[name] & ((own < low[name]) | (own > high[name]))
    for name in low:
        slack = (high[name] - low[name]) / 2
        slack = np.where(is_beyond | ~np.isfinite(slack), np.inf, slack)
        low[name], high[name] = low[name] - slack, high[name] + slack
    for name, mask in given.items():
        has_value = values[name].is_valid().to_numpy(zero_copy_only=False)
        if name in numbers:
            has_value = has_value & ~np.isnan(numbers[name])
            low[name] = np.where(mask & has_value, numbers[name], low[name])
            high[name] = np.where(mask & has_value, numbers[name], high[name])
        elif name in texts:
            known, allowed = texts[name]
            own_texts = values[name].cast(pa.string()).to_pylist()
            places = {text: i for i, text in enumerate(known.to_pylist())}
            allowed = allowed.copy()
            for row in np.flatnonzero(mask & has_value):
                if own_texts[row] in places:
                    allowed[row] = False
                    allowed[row, places[own_texts[row]]] = True
            texts[name] = known, allowed
        present[name] = np.where(mask, has_value, present[name])
    return replace(possible, low=low, high=high, texts=texts, present=present)


def _has_exclusion(tokenizer: Tokenizer, tokens: Tokens) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows with (S, N) given tokens that samples never have together."""
    mask = np.zeros(tokens.shape[1], bool)
    may_be_new = _steps_of_pairs(tokenizer)
    for (a, b), may_meet in tokenizer.exclusions.zeros.may_meet.items():
        if any({a, b} <= steps for steps in may_be_new):
            continue
        are_given = (tokens[a] != UNKNOWN_TOKEN) & (tokens[b] != UNKNOWN_TOKEN)
        mask |= are_given & ~may_meet[tokens[a], tokens[b]]
    for joint in tokenizer.joint_masks:
        own = tokens[list(joint.steps)]
        for row in np.flatnonzero((own != UNKNOWN_TOKEN).sum(0) > 1):
            index = tuple(slice(None) if token == UNKNOWN_TOKEN else token for token in own[:, row])
            mask[row] |= not joint.may_meet[index].any()
    return mask


def _steps_of_pairs(tokenizer: Tokenizer) -> list[set[int]]:
    """Return the first steps of pairs of columns and of those they determine: these may be new."""
    pairs = zip(tokenizer.columns, tokenizer.column_slices, strict=True)
    starts = {column.name: steps.start for column, steps in pairs}
    return [
        {starts[name] for name in (*pair, *names) if name in starts}
        for pair, names in tokenizer.coding.columns_of_pairs.items()
    ]


def _refuse(
    tokenizer: Tokenizer,
    row: int,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
    tokens: NDArray[np.int64],
) -> None:
    """Raise InvalidPartialRow for a row whose given values contradict each other."""
    names = [name for name in given if given[name][row]]
    may_be_new = _steps_of_pairs(tokenizer)

    def leave(names: Sequence[str], ignored: Collection[str], by_tokens: bool) -> PossibleRows:
        relations = [each for each in _without_pairs(tokenizer) if each.name not in ignored]
        own_values = {name: values[name].slice(row, 1) for name in names}
        possible = any_values(tokenizer, 1)
        if names:
            possible = _given_values(tokenizer, own_values, {n: np.ones(1, bool) for n in names})
        possible, used = possible.narrowed(relations, names)
        masks = {}
        for step in tokenizer.steps_of(names) if by_tokens else ():
            if tokens[step] != UNKNOWN_TOKEN:
                masks[step] = np.zeros(tokenizer.step_sizes[step], bool)
                masks[step][tokens[step]] = True
        return PossibleRows(possible, without_exclusions(tokenizer, masks, may_be_new), tuple(used))

    if leave(names, (), True).is_empty:
        found = _explain(tokenizer, names, leave)
        raise InvalidPartialRow(row, found.column, found.reason, found.alternatives)


@dataclass(frozen=True)
class _Contradiction:
    """A column whose value is impossible next to those of the `others`, and by which relations."""

    column: str
    others: Sequence[str]
    because: Sequence[str]
    alternatives: Alternatives | None

    @property
    def reason(self) -> str:
        """Return the message, to which the alternatives are added."""
        names = _listed([f"`{name}`" for name in self.others])
        relations = _listed([f"`{name}`" for name in self.because[:MAX_NAMED]])
        reason = f", because {relations}" if self.because else ": no training row has both"
        if not self.because and len(self.others) > 1:
            reason = ": no training row has these values together"
        rest = ""
        if self.alternatives is not None:
            verb = "is" if self.alternatives.kind == "range" else "may be"
            values = "this value" if len(self.others) == 1 else "these values"
            rest = f". With {values}, it {verb}"
        return f"contradicts {names}{reason}{rest}"


def _explain(tokenizer: Tokenizer, names: Sequence[str], leave: Leave) -> _Contradiction:
    """Return the fewest of the requested columns that leave nothing, and the relations."""
    for name in names:
        fewer = [each for each in names if each != name]
        if fewer and leave(fewer, (), True).is_empty:
            names = fewer
    ignored: set[str] = set()
    by_tokens = not leave(names, (), False).is_empty
    used = [relation.name for relation in leave(names, (), by_tokens).relations]
    for relation in used:
        if leave(names, ignored | {relation}, by_tokens).is_empty:
            ignored.add(relation)
    *others, column = names
    alternatives = _alternatives(tokenizer, column, leave(others, (), True))
    needed = [relation for relation in used if relation not in ignored]
    return _Contradiction(column, others, needed, alternatives)


def _alternatives(tokenizer: Tokenizer, name: str, possible: PossibleRows) -> Alternatives | None:
    """Return what a column may be by what other values leave, if they leave something."""
    values, arrow = possible.values, tokenizer.arrow.field(name).type
    column = next((each for each in tokenizer.columns if each.name == name), None)
    steps = [step for step in tokenizer.steps_of([name]) if step in possible.tokens]
    first = possible.tokens[steps[0]] if steps else None
    if name in values.low and is_numeric(arrow):
        usual = any_values(tokenizer, 1).with_range(name, values.low[name], values.high[name])
        if usual.low[name][0] <= usual.high[name][0]:
            values = usual
        low, high = float(values.low[name][0]), float(values.high[name][0])
        if first is not None and column is not None:
            lows, highs = (as_floats(each)[first] for each in token_range(column))
            low = max(low, lows[~np.isnan(lows)].min(initial=np.inf))
            high = min(high, highs[~np.isnan(highs)].max(initial=-np.inf))
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            return None
        ends = _rounded(tokenizer, name, low, high)
        grid = NumberGrid(arrow, -1 if pa.types.is_floating(arrow) else 0)
        return Alternatives(grid.from_floats(ends, np.zeros(2, bool)), "range")
    if name not in values.texts:
        return None
    texts, mask = values.texts[name]
    allowed = from_text(texts.filter(pa.array(mask[0])), arrow)
    if first is not None and column is not None and column.layout.bins == 0:
        tokens = np.flatnonzero(first[: column.layout.exact_values])
        allowed = column.decode(tokens[None], np.zeros(len(tokens)))
    if not len(allowed):
        return None
    return Alternatives(allowed.slice(0, MAX_NAMED), "all" if len(allowed) <= MAX_NAMED else "some")


def _rounded(tokenizer: Tokenizer, name: str, low: float, high: float) -> NDArray[np.float64]:
    """Return the ends (2,) of a range, inside it if the column has a number of decimals."""
    coded = [column for column in tokenizer.coding.columns if column.name == name]
    decimals = max((getattr(column, "decimals", -1) for column in coded), default=-1)
    if decimals < 0:
        return np.array([float(f"{end:.12g}") for end in (low, high)])
    unit = 10.0**decimals
    return np.array([np.ceil(low * unit - 1e-4), np.floor(high * unit + 1e-4)]) / unit


def _listed(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), *texts[-1:]] if len(texts) > 1 else texts)
