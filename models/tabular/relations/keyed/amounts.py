"""Search for amounts that are a number of their key times one or two columns, in nearly all rows.

An example is the price of a product times the quantity, less a discount. Some keys may have several
numbers, such as a product whose price has changed, and some rows a number of their own.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, exact_numbers, significant_digits
from models.tabular.relations.keyed.fitting import fit_numbers
from models.tabular.relations.keyed.numbers import Form, apply_form
from models.tabular.relations.keyed.pairs import MIN_CHANGED_PAIRS, KeyedPairs
from models.tabular.relations.kinds import NOT_EXPLAINING
from models.tabular.relations.lookups.discrete import Codes, encode_discrete, partition_of
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats, rounding_tolerance

MAX_NUMBERS = 16  # columns that are compared
MAX_KEY_COLUMNS, MIN_KEYS, MAX_KEYS = 12, 3, 20_000
MAX_ROWS = 10_000  # that are screened
MIN_ROWS = 50
PAIRS = 128  # of rows with the same key, which are compared
MIN_DISTINCT_AMOUNTS = 10
MIN_UNITS = 20  # of the last decimal, in half of the amounts
MAX_AMOUNT = 1e100  # products of larger ones are infinite
MAX_SHARE_LOSS = 0.02  # for a formula of fewer columns, or a key of fewer values
MAX_TRIED = 3  # formulas for an amount
MAX_PERCENTAGES = 50  # different ones of a column, such as rates of taxes


@dataclass(frozen=True)
class _Number:
    name: str
    values: Floats  # (N,) of the screened rows
    decimals: int
    digits: int
    distinct: int

    @classmethod
    def of(cls, table: pa.Table, name: str) -> "_Number":
        values = as_floats(array(table, name))
        present = values[np.isfinite(values)]
        decimals = NumberGrid.fit(array(table, name)).decimals
        digits = significant_digits(present, decimals) if decimals > 0 else 0
        return cls(name, values, decimals, digits, len(np.unique(present)))

    def tolerances(self, values: Floats) -> Floats:
        return rounding_tolerance(np.nan_to_num(values), self.decimals, self.digits)

    @cached_property
    def is_amount(self) -> bool:
        """Return True for a number that rounding hardly changes."""
        if self.distinct < MIN_DISTINCT_AMOUNTS:
            return False
        unit = 10.0**-self.decimals if self.decimals >= 0 else 0.0
        present = np.abs(self.values[np.isfinite(self.values)])
        return bool((present >= MIN_UNITS * unit).mean() >= 0.5) and present.max() <= MAX_AMOUNT

    @cached_property
    def forms(self) -> tuple[Form, ...]:
        """Return the forms in which the column may be a factor."""
        present = self.values[np.isfinite(self.values)]
        if len(present) < MIN_ROWS or self.distinct < 2:
            return ()
        low, high = present.min(), present.max()
        if low >= 0 and high <= 1:
            return ("", "1 - x", "1 + x")
        if low >= 0 and high <= 100 and self.distinct <= MAX_PERCENTAGES:
            return ("", "1 - x %", "1 + x %")
        return ("",)


@dataclass(frozen=True)
class _Formula:
    """An amount as a number of a key times factors, plus a column if `added` is not empty."""

    key: str
    total: _Number
    factors: tuple[tuple[str, Form], ...]
    added: str
    share: float

    @property
    def columns(self) -> frozenset[str]:
        names = {self.key, self.added, self.total.name, *(name for name, _ in self.factors)}
        return frozenset(names - {""})

    @property
    def relation(self) -> Relation:
        names, forms = (tuple(parts) for parts in zip(*self.factors, strict=True))
        added = (self.added,) if self.added else ()
        return Relation(
            "factor",
            (self.key, *names, *added, self.total.name),
            decimals=self.total.decimals,
            digits=self.total.digits,
            signs=(1,) if added else (),
            forms=forms if any(forms) or len(forms) > 1 else (),
        )


def find_keyed_amounts(
    table: pa.Table,
    types: Mapping[str, str],
    excluded: Collection[str],
    relations: Sequence[Relation] = (),
) -> list[Relation]:
    """Return the amounts that keys determine with other columns.

    Relations that not all rows satisfy have `exceptions`. The columns in `excluded` are not
    amounts. Those of one of `relations` have no other one, whatever the key is.
    """
    names = exact_numbers(table, types)[:MAX_NUMBERS]
    if len(table) < MIN_ROWS or len(names) < 2 or set(names) <= set(excluded):
        return []
    chosen = np.random.default_rng(0).permutation(len(table))[:MAX_ROWS]
    sample = table.select(list(types)).take(pa.array(np.sort(chosen)))
    keys = _keys(sample, types)
    if not keys:
        return []
    numbers = [_Number.of(sample, name) for name in names]
    with np.errstate(all="ignore"):
        formulas = _screened_formulas(keys, numbers, excluded)
    # A finer number, or one of more values, follows from the others.
    numbers.sort(key=lambda n: (10.0**-n.decimals if n.decimals >= 0 else 0.0, -n.distinct))
    related = {frozenset(each.columns) for each in relations if each.kind not in NOT_EXPLAINING}
    best: dict[str, Relation] = {}
    for has_added in (False, True):  # first without, because these also explain the added column
        for number in numbers:
            name = number.name
            if name in best:
                continue
            possible = [
                formula
                for formula in formulas.get(name, ())
                if bool(formula.added) == has_added
                and not any(name in each and each <= formula.columns for each in related)
                and not any(name in best[other].columns for other in formula.columns & best.keys())
            ]
            tried = _by_preference(possible)[:MAX_TRIED]
            fitted = (fit_numbers(formula.relation, table) for formula in tried)
            if relation := next(filter(None, fitted), None):
                best[name] = relation
                related.add(frozenset(relation.columns[1:]))
    return list(best.values())


def _screened_formulas(
    keys: Sequence[tuple[str, Codes]], numbers: Sequence[_Number], excluded: Collection[str]
) -> dict[str, list[_Formula]]:
    """Return the formulas that pairs of rows satisfy, by amount, those of few keys first."""
    formulas: dict[str, list[_Formula]] = {}
    for key, codes in keys:
        screened = _Screened.of(key, codes, numbers)
        if screened is None:
            continue
        for total in numbers:
            if total.name not in excluded and total.name != key and total.is_amount:
                formulas.setdefault(total.name, []).extend(screened.formulas(total))
    return formulas


def find_exact_keyed_amounts(
    table: pa.Table, types: Mapping[str, str], relations: Sequence[Relation]
) -> list[Relation]:
    """Return the keyed amounts that all rows have, unless one of `relations` determines them."""
    excluded = {each.last for each in relations if each.kind not in NOT_EXPLAINING}
    amounts = find_keyed_amounts(table, types, excluded, relations)
    return [amount for amount in amounts if not amount.exceptions]


def _keys(sample: pa.Table, types: Mapping[str, str]) -> list[tuple[str, Codes]]:
    """Return the columns of keys of several rows, those of few values first."""
    partitions: dict[bytes, tuple[str, Codes]] = {}
    for name, codes in encode_discrete(sample, types).items():
        if MIN_KEYS < codes[1] <= MAX_KEYS:  # with a missing one
            partitions.setdefault(partition_of(codes), (name, codes))
    return sorted(partitions.values(), key=lambda each: each[1][1])[:MAX_KEY_COLUMNS]


def _by_preference(formulas: list[_Formula]) -> list[_Formula]:
    """Return the formulas, the best one first: simple ones may agree in slightly fewer rows."""
    if not formulas:
        return []
    best = max(formula.share for formula in formulas)
    enough = [formula for formula in formulas if formula.share >= best - MAX_SHARE_LOSS]
    others = [formula for formula in formulas if formula.share < best - MAX_SHARE_LOSS]
    # The order of the keys is kept.
    enough.sort(key=lambda formula: len(formula.factors))
    return enough + sorted(others, key=lambda formula: -formula.share)


@dataclass(frozen=True)
class _Screened:
    """Pairs of rows with the same key: `first` and `second` have the (C, P) numbers of columns."""

    key: str
    numbers: Sequence[_Number]
    first: Floats
    second: Floats

    @classmethod
    def of(cls, key: str, codes: Codes, numbers: Sequence[_Number]) -> "_Screened | None":
        index, _ = codes
        order = np.random.default_rng(0).permutation(len(index))
        order = order[np.argsort(index[order], kind="stable")]
        order = order[index[order] > 0]
        is_same = np.diff(index[order]) == 0
        if is_same.sum() < MIN_ROWS:
            return None
        few = np.random.default_rng(0).permutation(int(is_same.sum()))[:PAIRS]
        rows = order[:-1][is_same][few], order[1:][is_same][few]
        first, second = (np.stack([n.values[part] for n in numbers]) for part in rows)
        return cls(key, numbers, first, second)

    def formulas(self, total: _Number) -> Iterator[_Formula]:
        """Yield the formulas for an amount that enough pairs satisfy."""
        place = self.numbers.index(total)
        usable = [n for n in self.numbers if n is not total and n.name != self.key]
        factors = [(number, form) for number in usable for form in number.forms]
        own = self.first[place], self.second[place]
        margin = total.tolerances(own[0]) + total.tolerances(own[1])
        if not factors or (np.abs(own[0] - own[1]) > margin).sum() < MIN_CHANGED_PAIRS:
            return
        rows = [self.numbers.index(number) for number, _ in factors]
        f, g = (
            np.stack(
                [apply_form(form, part[i]) for i, (_, form) in zip(rows, factors, strict=True)]
            )
            for part in (self.first, self.second)
        )
        pairs = KeyedPairs(*own, margin, f, g)
        for share, chosen in pairs.agreeing():
            yield self._formula(total, [factors[k] for k in chosen], None, share)
        added = [i for i, number in enumerate(self.numbers) if number in usable]
        for i, share, k in pairs.agreeing_with_added(self.first[added], self.second[added]):
            if factors[k][0] is not self.numbers[added[i]]:
                yield self._formula(total, [factors[k]], self.numbers[added[i]], share)

    def _formula(
        self,
        total: _Number,
        factors: list[tuple[_Number, Form]],
        added: _Number | None,
        share: float,
    ) -> _Formula:
        names = tuple((number.name, form) for number, form in factors)
        return _Formula(self.key, total, names, added.name if added else "", share)
