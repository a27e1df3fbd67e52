"""Samples of table rows against the held-out real ones, which training never saw."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.measures.boosting import classify, regress
from models.measures.membership import attack
from models.measures.naive import independent
from models.measures.ranking import area, told_apart
from models.measures.scores import Measured, Score, resampled, score
from models.measures.statistics import associations, figures, histogram, plane, unit_of
from models.run import GoOn
from models.tables.data import LabelledRows

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

TENTHS = 10
FINE = 64  # bins of a column that trees look at
NAMES = 250  # of a category, that trees look at; the others are one
PAIRS = 200
TOLD = 4_000  # rows of each kind that a critic learns from and is asked about
LEARNED = 24_000
NEAR = 2_000
AGAINST = 8_000
MOST_CLASSES = 20
ENOUGH = 20  # held-out rows to judge by
MOST_COLUMNS = 30  # whose pairs are shown
SHOWN = 1_000  # rows whose main directions are looked for


@dataclass(frozen=True)
class Frame:
    """(N,) numbers by column: values, or places among the `names`; NaN is missing."""

    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, index: NDArray[np.int64]) -> "Frame":
        return Frame({name: values[index] for name, values in self.columns.items()})


@dataclass(frozen=True)
class Names:
    """What the categories among the columns may be, in the order of their places."""

    of: dict[str, pa.Array]

    def frame(self, table: pa.Table, learned: list[str]) -> Frame:
        columns = {}
        for name in learned:
            values = table.column(name).combine_chunks()
            if name in self.of:
                places = pc.index_in(_text(values), value_set=self.of[name])
                columns[name] = places.cast(pa.float64()).to_numpy(zero_copy_only=False)
            else:
                columns[name] = _numbers(values)
        return Frame(columns)


@dataclass(frozen=True)
class Judged:
    scores: list[Score]
    views: dict[str, Any]  # what a report shows besides, by name


def judge(data: LabelledRows, made: pa.Table, *, seed: int, go_on: GoOn) -> Judged:
    """`data.held_out` is what training has not seen; at least ENOUGH rows. Samples are compared
    with as many training rows (the ceiling) and with rows whose columns are drawn each by itself
    (the baseline)."""
    rng = np.random.default_rng(seed)
    schema = [column for column in data.schema if column.kept and column.type != "id"]
    learned = [column.name for column in schema]
    train, held = data.part(data.train), data.part(data.held_out)
    names = Names(
        {
            c.name: pc.unique(
                pa.chunked_array([_text(t.column(c.name)) for t in (train, held, made)])
            ).drop_null()
            for c in schema
            if c.type in ("category", "boolean")
        }
    )
    real, seen, fake = (names.frame(table, learned) for table in (held, train, made))
    index = rng.choice(len(seen), min(len(fake), len(seen)), replace=False)
    ceiling = seen.take(index)
    baseline = Frame(independent(seen.columns, len(fake), seed))
    three = (fake, ceiling, baseline)
    go_on()
    tenths = Binned.of(seen, names, TENTHS)
    scores = _marginals(real, three, tenths, seed, go_on)
    fine = Binned.of(seen, names, FINE)
    scores += _told_apart(real, three, fine, seed, go_on)
    scores += _utility(real, three, fine, names, data.label, seed, go_on)
    space = Space.of(seen, tenths)
    scores += _privacy(real, seen, fake, baseline, space, rng, seed, go_on)
    views = {
        "statistics": _statistics(real, fake, names, {c.name: c.type for c in schema}, data.label),
        "pairs": _pairs(real, fake, tenths),
        "scatter": plane(*(space(_some(f, SHOWN, rng)).all_columns() for f in (real, fake))),
        "nearest": _nearest(real, seen, fake, space, rng, go_on),
    }
    return Judged(scores, views)


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(pa.string())


def _numbers(values: pa.Array) -> Floats:
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
    found = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(found, np.float64)


@dataclass(frozen=True)
class Binned:
    """Columns in bins of about as many training rows each; names are bins, missing is the last."""

    edges: dict[str, Floats]
    sizes: dict[str, int]

    @classmethod
    def of(cls, seen: Frame, names: Names, bins: int) -> "Binned":
        edges, sizes = {}, {}
        for name, values in seen.columns.items():
            if name in names.of:
                sizes[name] = min(len(names.of[name]), NAMES) + 1
                continue
            known = values[~np.isnan(values)]
            cuts = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]) if len(known) else known
            edges[name] = _edges(cuts)
            sizes[name] = len(edges[name]) + 2
        return cls(edges, sizes)

    def __call__(self, frame: Frame) -> dict[str, Bins]:
        found = {}
        for name, values in frame.columns.items():
            missing, last = np.isnan(values), self.sizes[name] - 1
            if name in self.edges:
                bins = np.searchsorted(self.edges[name], values, side="right")
            else:
                bins = np.minimum(np.where(missing, 0, values), last - 1).astype(np.int64)
            found[name] = np.where(missing, last, bins)
        return found

    def matrix(self, frame: Frame, without: str | None = None) -> Bins:
        bins = self(frame)
        return np.stack([bins[name] for name in bins if name != without], 1)

    def unordered(self, without: str | None = None) -> NDArray[np.bool_]:
        return np.array([name not in self.edges for name in self.sizes if name != without])


def _edges(cuts: Floats) -> Floats:
    """A value that fills more than a bin has one of its own: of a column that is mostly 0, what is
    above it is not the same."""
    values, times = np.unique(cuts, return_counts=True)
    return np.union1d(values, np.nextafter(values[times > 1], np.inf))


Three = tuple[Frame, Frame, Frame]  # samples, ceiling, baseline


def _marginals(real: Frame, three: Three, binned: Binned, seed: int, go_on: GoOn) -> list[Score]:
    """The mean total variation distance of columns, and of pairs of them."""
    names = list(real.columns)
    pairs = list(combinations(names, 2))
    order = np.random.default_rng(seed).permutation(len(pairs))[:PAIRS]
    groups: list[tuple[str, list[tuple[str, ...]]]] = [("marginals", [(n,) for n in names])]
    if pairs:
        groups.append(("pairs", [pairs[i] for i in order]))
    there = binned(real)
    found = [binned(frame) for frame in three]
    return [_apart(name, there, found, wanted, binned, seed, go_on) for name, wanted in groups]


def _apart(
    title: str,
    there: dict[str, Bins],
    found: list[dict[str, Bins]],
    wanted: list[tuple[str, ...]],
    binned: Binned,
    seed: int,
    go_on: GoOn,
) -> Score:
    real = [_joined(there, group, binned) for group in wanted]
    sides = [[_joined(bins, group, binned) for group in wanted] for bins in found]

    def each(side: list[Bins], index: NDArray[np.int64] | None = None) -> Floats:
        go_on()
        parts = side if index is None else [bins[index] for bins in side]
        return np.array([variation(*both) for both in zip(real, parts, strict=True)])

    values = each(sides[0])
    chance = resampled(lambda index: float(each(sides[0], index).mean()), len(sides[0][0]), seed)
    return score(
        title,
        Measured(float(values.mean()), chance.error),
        "lower",
        ceiling=float(each(sides[1]).mean()),
        baseline=float(each(sides[2]).mean()),
        per_class={" and ".join(g): float(v) for g, v in zip(wanted, values, strict=True)},
    )


def _joined(bins: dict[str, Bins], group: tuple[str, ...], binned: Binned) -> Bins:
    out = np.zeros(1, np.int64)
    for name in group:
        out = out * binned.sizes[name] + bins[name]
    return out


def variation(one: Bins, other: Bins) -> float:
    """Total variation distance of two sets of small numbers, from 0 to 1."""
    size = int(max(one.max(), other.max())) + 1
    shares = [np.bincount(bins, minlength=size) / len(bins) for bins in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _told_apart(real: Frame, three: Three, binned: Binned, seed: int, go_on: GoOn) -> list[Score]:
    """Of boosted trees, which learn from one half of as many held-out rows and samples and are
    asked about the other."""
    rng = np.random.default_rng(seed)
    unordered = binned.unordered()

    def said(frame: Frame) -> tuple[Tensor, Tensor]:
        go_on()
        n = min(len(real), len(frame), TOLD)
        one, other = (
            binned.matrix(part.take(rng.permutation(len(part))[:n])) for part in (real, frame)
        )
        half = n // 2
        y = np.arange(2 * half) // half
        asked = np.concatenate([one[half:], other[half:]])
        seen = np.concatenate([one[:half], other[:half]])
        chances = torch.from_numpy(classify(seen, unordered, y, 2, asked)[:, 1])
        return chances[: n - half] - 0.5, chances[n - half :] - 0.5

    return told_apart([said(frame) for frame in three])


def _utility(
    real: Frame,
    three: Three,
    binned: Binned,
    names: Names,
    target: str | None,
    seed: int,
    go_on: GoOn,
) -> list[Score]:
    """What trees that learn from the samples know of held-out rows: the area under the ROC curve
    for two labels, macro F1 for more, the share of the variance (R²) for a number."""
    if target is None or target not in real.columns or len(real.columns) < 2:
        return []
    is_number = target not in names.of
    if not is_number and not 2 <= len(names.of[target]) <= MOST_CLASSES:
        return []
    if any(np.isnan(frame.columns[target]).all() for frame in (real, *three)):
        return []
    unordered = binned.unordered(target)
    real = real.take(np.flatnonzero(~np.isnan(real.columns[target])))
    truth, asked = real.columns[target], binned.matrix(real, target)
    unit = unit_of(truth)

    def measured(frame: Frame) -> Measured:
        go_on()
        known = np.flatnonzero(~np.isnan(frame.columns[target]))[:LEARNED]
        frame = frame.take(known)
        x, y = binned.matrix(frame, target), frame.columns[target]
        if is_number:
            said = regress(x, unordered, y / unit, asked)
            aim, spread = truth / unit, (truth / unit).var() or 1.0
            return resampled(
                lambda i: float(1 - np.square(said[i] - aim[i]).mean() / spread), len(truth), seed
            )
        classes = len(names.of[target])
        chances = classify(x, unordered, y.astype(np.int64), classes, asked)
        if classes == 2:
            scored = torch.from_numpy(chances[:, 1])
            one = torch.from_numpy(truth == 1)
            if min(int(one.sum()), int((~one).sum())) < 2:
                return Measured(0.5)
            return area(scored[one], scored[~one])
        guessed, right = chances.argmax(1), truth.astype(np.int64)
        return resampled(lambda i: macro_f1(right[i], guessed[i]), len(right), seed)

    value, ceiling, baseline = (measured(frame) for frame in three)
    return [score("utility", value, "higher", ceiling=ceiling, baseline=baseline)]


def macro_f1(truth: Bins, said: Bins) -> float:
    each = []
    for label in np.unique(truth):
        right = ((truth == label) & (said == label)).sum()
        each.append(2 * right / ((truth == label).sum() + (said == label).sum()))
    return float(np.mean(each))


@dataclass(frozen=True)
class Points:
    """Rows in a space in which differences of columns are added up."""

    numbers: torch.Tensor  # (N, A)
    names: torch.Tensor  # (N, B), one hot for each column

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: slice) -> "Points":
        return Points(self.numbers[which], self.names[which])

    def nearest(self, others: "Points", go_on: GoOn) -> torch.Tensor:
        """(N,) distances."""
        found, columns = [], self.names[:1].sum()
        for first in range(0, len(self), 250):
            go_on()
            part = self[first : first + 250]
            unlike = columns - part.names @ others.names.T
            found.append((torch.cdist(part.numbers, others.numbers, p=1) + unlike).min(1).values)
        return torch.cat(found)

    def all_columns(self) -> Floats:
        return torch.cat([self.numbers, self.names], 1).double().numpy()


@dataclass(frozen=True)
class Space:
    """Numbers lie at their place among the training rows, from 0 to 1; two names are 1 apart."""

    binned: Binned
    known: dict[str, Floats]  # of the training rows, in order

    @classmethod
    def of(cls, seen: Frame, binned: Binned) -> "Space":
        known = {name: seen.columns[name] for name in binned.edges}
        return cls(binned, {name: np.sort(v[~np.isnan(v)]) for name, v in known.items()})

    def __call__(self, frame: Frame) -> Points:
        numbers, names = [np.empty((0, len(frame)))], [np.empty((len(frame), 0))]
        for name, values in frame.columns.items():
            if name in self.known:
                place = np.searchsorted(self.known[name], values) / max(1, len(self.known[name]))
                numbers.append(np.where(np.isnan(values), 0.5, place)[None])
            else:
                size = self.binned.sizes[name]
                places = np.where(np.isnan(values), size - 1, np.minimum(values, size - 1))
                names.append(np.eye(size)[places.astype(np.int64)])
        return Points(
            torch.from_numpy(np.concatenate(numbers).T.astype(np.float32)),
            torch.from_numpy(np.concatenate(names, 1).astype(np.float32)),
        )


def _privacy(
    real: Frame,
    seen: Frame,
    fake: Frame,
    naive: Frame,
    space: Space,
    rng: np.random.Generator,
    seed: int,
    go_on: GoOn,
) -> list[Score]:
    """`dcr_share`: of the samples, nearer to some training row than to any of as many held-out
    ones; .5 by chance. `exact_copies` beside what an honest generator repeats by chance: its hits
    on rows that it never saw, for as many as training has."""
    m = min(len(real), len(seen), AGAINST)
    trained, held = (space(_some(part, m, rng)) for part in (seen, real))
    samples = space(_some(fake, AGAINST, rng))
    to_trained, to_held = (samples[:NEAR].nearest(side, go_on) for side in (trained, held))
    n = min(len(held) // 2, NEAR)  # the other half of the unseen rows is what an attacker knows
    share = (to_trained < to_held).double() + (to_trained == to_held).double() / 2
    known, unseen = _keys(seen), _keys(real)
    copied = np.array([key in known for key in _listed(fake)], np.float64)
    repeated = float(np.mean([key in unseen for key in _listed(fake)]))
    of_held_out = float(np.mean([key in known for key in _listed(real)]))
    expected = min(1.0, max(repeated * len(seen) / len(real), of_held_out))
    different = Measured(len(set(_listed(fake))) / len(fake))
    some = _some(seen, len(fake), rng)
    return [
        score("dcr_share", Measured.of_each(share.numpy()), "half", ceiling=0.5),
        score("exact_copies", Measured.of_each(copied), "lower", ceiling=expected),
        *attack(
            *(trained[:n], held[:n], held[n:], samples, space(_some(naive, AGAINST, rng))),
            nearest=partial(Points.nearest, go_on=go_on),
            seed=seed,
        ),
        score("different", different, "higher", ceiling=len(set(_listed(some))) / len(some)),
    ]


def _some(frame: Frame, count: int, rng: np.random.Generator) -> Frame:
    return frame.take(rng.permutation(len(frame))[:count])


def _listed(frame: Frame) -> list[bytes]:
    table = np.nan_to_num(np.stack(list(frame.columns.values()), 1), nan=-1e300)
    return [row.tobytes() for row in table]


def _keys(frame: Frame) -> set[bytes]:
    return set(_listed(frame))


def _statistics(
    real: Frame, fake: Frame, names: Names, types: dict[str, str], target: str | None
) -> list[dict[str, Any]]:
    """Of each column, and of its numbers for each label; `label` is null for all rows."""
    found = [
        {
            "column": name,
            "type": types[name],
            "label": None,
            **_side_by_side(real, fake, names, name),
        }
        for name in real.columns
    ]
    if target not in names.of or len(names.of[target]) > MOST_CLASSES:
        return found
    for place, label in enumerate(names.of[target].to_pylist()):
        one, other = (f.take(np.flatnonzero(f.columns[target] == place)) for f in (real, fake))
        found += [
            {"column": n, "type": types[n], "label": label, **_side_by_side(one, other, names, n)}
            for n in real.columns
            if n not in names.of
        ]
    return found


def _side_by_side(real: Frame, fake: Frame, names: Names, name: str) -> dict[str, Any]:
    sides = real.columns[name], fake.columns[name]
    if name in names.of:
        one, other = (_shares(values, names.of[name]) for values in sides)
        return {"real": one, "synthetic": other, "histogram": None}
    one, other = (figures(values) for values in sides)
    return {"real": one, "synthetic": other, "histogram": histogram(*sides)}


def _shares(values: Floats, names: pa.Array) -> dict[str, Any]:
    known = values[~np.isnan(values)].astype(np.int64)
    counts = np.bincount(known, minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:NAMES]
    shares = {names[i].as_py(): float(counts[i] / max(1, len(known))) for i in order.tolist()}
    return {"count": len(known), "missing": len(values) - len(known), "shares": shares}


def _pairs(real: Frame, fake: Frame, binned: Binned) -> dict[str, Any]:
    shown = list(real.columns)[:MOST_COLUMNS]
    one, other = (
        associations({name: bins for name, bins in binned(frame).items() if name in shown})
        for frame in (real, fake)
    )
    return {"columns": shown, "real": one, "synthetic": other}


def _nearest(
    real: Frame,
    seen: Frame,
    fake: Frame,
    space: Space,
    rng: np.random.Generator,
    go_on: GoOn,
) -> dict[str, list[float]] | None:
    """How far samples, and unseen rows, are from the nearest training row."""
    known = space(_some(seen, AGAINST, rng))
    sides = (space(_some(frame, NEAR, rng)).nearest(known, go_on) for frame in (real, fake))
    return histogram(*(side.double().numpy() for side in sides))
