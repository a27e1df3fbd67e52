"""Explanations of contradictions: the fewest columns, the relations, and what is possible instead.

Requested columns and relations are left out one by one while the rest is still impossible.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import from_text
from models.tabular.conditions.condition import Alternatives
from models.tabular.conditions.plan import token_range
from models.tabular.conditions.possible_rows import PossibleRows, all_relations, any_values
from models.tabular.numbers.grid import NumberGrid, is_numeric
from models.tabular.relations.rows import as_floats
from models.tabular.tokenizer import Tokenizer

MAX_NAMED = 3  # texts or relations in an error message
# What the requested values of some columns leave, without the relations of some names. The last
# argument says whether exclusions count, too.
Leave = Callable[[Sequence[str], Collection[str], bool], PossibleRows]


@dataclass(frozen=True)
class Contradiction:
    """A column whose value is impossible next to those of the `others`, and by which relations."""

    column: str
    others: Sequence[str]
    because: Sequence[str]
    alternatives: Alternatives | None

    @property
    def reason(self) -> str:
        """Return the message, to which the alternatives are added."""
        names = _listed([f"`{name}`" for name in self.others])
        start = f"contradicts {names}" if names else "is impossible"
        reason = ""
        if self.because:
            relations = _listed([f"`{name}`" for name in self.because[:MAX_NAMED]])
            reason = f", because {relations}"
        elif names:
            together = "both" if len(self.others) == 1 else "these values together"
            reason = f": no training row has {together}"
        rest = ""
        if self.alternatives is not None and not names:
            rest = ". It may be"
        elif self.alternatives is not None:
            verb = "is" if self.alternatives.kind in ("range", "missing") else "may be"
            values = "this value" if len(self.others) == 1 else "these values"
            rest = f". With {values}, it {verb}"
        return f"{start}{reason}{rest}"


def explain(tokenizer: Tokenizer, names: Sequence[str], leave: Leave) -> Contradiction:
    """Return the fewest of the requested columns that leave nothing, and the relations."""
    for name in names:
        fewer = [each for each in names if each != name]
        if fewer and leave(fewer, (), True).is_empty:
            names = fewer
    by_tokens = not leave(names, (), False).is_empty
    used = leave(names, (), by_tokens).relations
    # Other relations may say the same by more columns, and so may those of columns not requested.
    all_names = {each.name for each in all_relations(tokenizer)}
    ignored = all_names - {relation.name for relation in used}
    if not leave(names, ignored, by_tokens).is_empty:
        ignored = set()
    for relation in sorted(used, key=lambda each: set(each.columns) <= set(names)):
        if leave(names, ignored | {relation.name}, by_tokens).is_empty:
            ignored.add(relation.name)
    *others, column = names
    alternatives = alternatives_of(tokenizer, column, leave(others, (), True))
    if others and alternatives == alternatives_of(tokenizer, column, leave((), (), True)):
        alternatives = None  # the others leave all values
    needed = [relation for relation in used if relation.name not in ignored]
    if all(each.kind == "lookup" and each.columns[0] not in names for each in needed):
        needed = []  # that no key has both values, such as an order, says that no row has
    return Contradiction(column, others, [each.name for each in needed], alternatives)


def alternatives_of(tokenizer: Tokenizer, name: str, possible: PossibleRows) -> Alternatives | None:
    """Return what a column may be by what other values leave, if they leave something."""
    values, arrow = possible.values, tokenizer.arrow.field(name).type
    column = next((each for each in tokenizer.columns if each.name == name), None)
    layout = column.layout if column is not None else None
    if name in tokenizer.coding.names - tokenizer.coding.learned:
        column = None  # whose tokens are not those of its values
    steps = tokenizer.steps_of([name])
    first = possible.tokens.get(steps[0]) if steps else None
    if first is not None and first[-1] and first.sum() == 1 and layout and layout.missing:
        return Alternatives(pa.nulls(0, arrow), "missing")
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
        return np.array([float(f"{end:.12g}") for end in (low, high)]) + 0.0  # instead of -0.0
    unit = 10.0**decimals
    return np.array([np.ceil(low * unit - 1e-4), np.floor(high * unit + 1e-4)]) / unit + 0.0


def _listed(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), *texts[-1:]] if len(texts) > 1 else texts)
