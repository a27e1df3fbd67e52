"""Lists of items in one cell, such as `milk;bread;butter` or `Action, Drama`.

New lists have the items that several lists share, as often as these, and in their usual order. No
item is repeated. Which items occur together is not learned. Rankings, which are lists of the same
items in different orders, are new orders in which items have their usual places.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.noise import Indices, uniforms
from models.tabular.identifiers.templates import OTHER_NOISE, choose

JOINTS = (";", "|", ",", "/", "+", "&")
MIN_LISTS = 0.5  # share of the texts that must have several items
MIN_SHARED_LISTS = 3  # lists with an item that is kept
MIN_COVERAGE = 0.8  # share of the items of the lists that must be kept
# The same for lists of different sizes with many items that several share, such as tags.
MIN_COVERAGE_OF_MANY, MIN_MANY, MIN_SIZES = 0.4, 12, 3
MIN_SIZE_SHARE = 0.05  # of the lists that have a size
MIN_WITHOUT_REPEATS = 0.95  # share of the lists
MIN_SORTED = 0.95  # share of the lists in alphabetical order
MIN_ITEMS, MAX_ITEMS = 4, 256  # different ones that are kept
MAX_ITEM_CHARS = 60
_LOGIT = 0.5513  # makes the standard deviation of logits of uniform numbers 1
_WORDS = re.compile(r"(?:[^\W\d_]{3,}.*){3}")
_BRACKET = re.compile(r"[\[\]{}]")
_BRACKETED = re.compile(r"\[([^\[\]{}]*)\]")  # as Python and JSON write lists


@dataclass(frozen=True)
class Lists:
    """New lists of a column; different rows may have the same list.

    `items` are in the order in which lists have them, with the share of the lists that have
    them. `sizes` counts lists by number of items. `ends` are the brackets around a list.
    `positions` are the mean and the standard deviation of the position of each item in rankings.
    """

    joint: str
    items: tuple[tuple[str, float], ...]
    sizes: tuple[tuple[int, float], ...]
    ends: tuple[str, str] = ("", "")
    positions: tuple[tuple[float, float], ...] = ()

    @classmethod
    def fit(cls, texts: Sequence[str], min_value_count: int = 0) -> Self | None:
        """Return None if the texts are not lists of shared items, but codes of one length."""
        if len(set(map(len, texts))) == 1 and not _WORDS.search(texts[0]):
            return None
        bracketed = [_BRACKETED.fullmatch(text) for text in texts]
        ends = ("[", "]") if all(bracketed) else ("", "")
        texts = [match[1] for match in bracketed if match] if all(bracketed) else texts
        for joint in JOINTS:
            lists = [_split(text, joint) for text in texts]
            if sum(len(items) > 1 for items in lists) < MIN_LISTS * len(texts):
                continue
            counts = Counter(item for items in lists for item in set(items))
            minimum = max(min_value_count, MIN_SHARED_LISTS)
            kept = {item: n for item, n in counts.most_common(MAX_ITEMS) if n >= minimum}
            total = sum(map(len, lists))
            covered = sum(item in kept for items in lists for item in items)
            unrepeated = sum(len(set(items)) == len(items) for items in lists)
            if (
                len(kept) < MIN_ITEMS
                or covered < _min_coverage(lists, kept) * total
                or unrepeated < MIN_WITHOUT_REPEATS * len(lists)
                or max(map(len, kept)) > MAX_ITEM_CHARS
                or not _are_words(kept, joint)
                or any(map(_BRACKET.search, kept))
            ):
                continue
            joined = "".join(texts)
            blank = " " if 2 * joined.count(f"{joint} ") > joined.count(joint) else ""
            before = " " if 2 * joined.count(f" {joint}") > joined.count(joint) else ""
            sizes = Counter(min(len(items), len(kept)) for items in lists)
            ordered = _in_order(kept, lists)
            return cls(
                f"{before}{joint}{blank}",
                tuple((item, kept[item] / len(lists)) for item in ordered),
                tuple(sorted((size, float(n)) for size, n in sizes.items())),
                ends,
                _positions(ordered, lists) if set(sizes) == {len(kept)} else (),
            )
        return None

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        noise = uniforms(seed, indices, OTHER_NOISE + len(self.items), stream)
        chosen = choose([weight for _, weight in self.sizes], noise[:, 1])
        sizes = np.array([size for size, _ in self.sizes])[chosen]
        # The items with the smallest exponential variates (Efraimidis and Spirakis, 2006).
        weights = np.array([-math.log1p(-min(share, 0.99)) for _, share in self.items])
        uniform = noise[:, OTHER_NOISE:]
        if self.positions:
            means, deviations = np.array(self.positions).T
            return self._rankings(means + deviations * _LOGIT * np.log(uniform / (1 - uniform)))
        keys = -np.log1p(-uniform) / weights
        ranks = keys.argsort(axis=1).argsort(axis=1)
        names = [item for item, _ in self.items]
        begin, end = self.ends
        texts = [
            f"{begin}{self.joint.join(names[i] for i in np.flatnonzero(row < size))}{end}"
            for row, size in zip(ranks, sizes, strict=True)
        ]
        return pa.array(texts, pa.string())

    def _rankings(self, positions: NDArray[np.float64]) -> pa.StringArray:
        """Return the items in the order of their positions (N, I)."""
        begin, end = self.ends
        names = [item for item, _ in self.items]
        orders = positions.argsort(axis=1).tolist()
        texts = [f"{begin}{self.joint.join(names[i] for i in order)}{end}" for order in orders]
        return pa.array(texts, pa.string())

    def to_json(self) -> dict[str, Any]:
        return {
            "lists": {
                "joint": self.joint,
                "items": [list(item) for item in self.items],
                "sizes": [list(size) for size in self.sizes],
                "ends": list(self.ends),
                **(
                    {"positions": [list(each) for each in self.positions]} if self.positions else {}
                ),
            }
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        lists = fields["lists"]
        return cls(
            lists["joint"],
            tuple((item, share) for item, share in lists["items"]),
            tuple((size, weight) for size, weight in lists["sizes"]),
            tuple(lists["ends"]),
            tuple((mean, deviation) for mean, deviation in lists.get("positions", ())),
        )


def _split(text: str, joint: str) -> list[str]:
    """Return the items; a mark after a backslash belongs to an item."""
    parts = re.split(rf"(?<!\\){re.escape(joint)}", text)
    return [item for part in parts if (item := part.strip())]


def _min_coverage(lists: Sequence[Sequence[str]], kept: Mapping[str, int]) -> float:
    """Return the share of the items that must be kept; pairs such as `Paris, France` need more."""
    sizes = Counter(map(len, lists))
    usual = sum(n >= MIN_SIZE_SHARE * len(lists) for n in sizes.values())
    are_many = len(kept) >= MIN_MANY and usual >= MIN_SIZES
    return MIN_COVERAGE_OF_MANY if are_many else MIN_COVERAGE


def _are_words(items: Mapping[str, int], joint: str) -> bool:
    """Return True if nearly all items have a letter; with `;` and `|`, numbers are items, too."""
    worded = sum(any(map(str.isalpha, item)) for item in items)
    return joint in ";|" or worded >= MIN_COVERAGE * len(items)


def _positions(
    items: Sequence[str], lists: Sequence[Sequence[str]]
) -> tuple[tuple[float, float], ...]:
    """Return the mean and standard deviation of the position of each item; () if none differ."""
    positions = [[each.index(item) for each in lists if item in each] for item in items]
    result = tuple((float(np.mean(each)), float(np.std(each))) for each in positions)
    return result if any(deviation for _, deviation in result) else ()


def _in_order(kept: Mapping[str, int], lists: Sequence[Sequence[str]]) -> list[str]:
    """Return the items in alphabetical order if those of the lists are, or by their mean place."""
    several = [items for items in lists if len(items) > 1]
    if sum(list(items) == sorted(items) for items in several) >= MIN_SORTED * len(several):
        return sorted(kept)
    places: dict[str, list[float]] = {item: [] for item in kept}
    for items in several:
        for i, item in enumerate(items):
            if item in places:
                places[item].append(i / (len(items) - 1))
    means = {item: sum(each) / len(each) if each else 0.5 for item, each in places.items()}
    return sorted(kept, key=lambda item: (means[item], item))
