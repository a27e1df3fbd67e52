"""Ends of e-mail addresses whose beginnings are joined from the name of a person."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from models.noise import Indices, uniforms
from models.tabular.identifiers.templates import OTHER_NOISE, choose
from models.tabular.identifiers.tokens import MIN_SHARED_COUNT, MIN_SHARED_FRACTION
from models.tabular.identifiers.words.words import EXAMPLE_DOMAINS

MAX_HEAD = 6  # characters between the names and the domain, such as 17
_END = re.compile(r"(?:([^@]*)@)?((?:[\w-]+\.)+[^\W\d_]{2,})")
_CHARACTERS = {"9": "0123456789", "a": "abcdefghijklmnopqrstuvwxyz"}

Weighted = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class EmailEnds:
    """Ends such as `17@example.com`; different rows may have the same one.

    `heads` are the patterns of the characters before the domain, with the mark @ if it belongs to
    the end: 99@. Domains that few rows share are replaced by those of examples.
    """

    heads: Weighted
    domains: Weighted

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self | None:
        """Return None if the texts are not ends of addresses."""
        matches = [match for match in map(_END.fullmatch, texts) if match is not None]
        if len(matches) < max(1, len(texts)):
            return None
        heads = Counter("" if match[1] is None else _pattern(match[1]) + "@" for match in matches)
        domains = Counter(match[2] for match in matches)
        least = max(MIN_SHARED_COUNT, MIN_SHARED_FRACTION * len(texts))
        shared = {domain: float(n) for domain, n in domains.items() if n >= least}
        others = len(texts) - sum(shared.values())
        examples = {domain: others / len(EXAMPLE_DOMAINS) for domain in EXAMPLE_DOMAINS if others}
        if max(map(len, heads)) > MAX_HEAD:
            return None
        weights = {head: float(n) for head, n in sorted(heads.items())}
        return cls(tuple(weights.items()), tuple((shared | examples).items()))

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        noise = uniforms(seed, indices, OTHER_NOISE + MAX_HEAD + 1, stream)
        heads = choose([weight for _, weight in self.heads], noise[:, 1])
        domains = choose([weight for _, weight in self.domains], noise[:, OTHER_NOISE])
        texts = [
            _written(self.heads[head][0], row) + self.domains[domain][0]
            for head, domain, row in zip(heads, domains, noise[:, OTHER_NOISE + 1 :], strict=True)
        ]
        return pa.array(texts, pa.string())

    def to_json(self) -> dict[str, Any]:
        return {"email_ends": [list(map(list, self.heads)), list(map(list, self.domains))]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        heads, domains = (tuple((text, n) for text, n in each) for each in fields["email_ends"])
        return cls(heads, domains)


def _pattern(text: str) -> str:
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text))


def _written(pattern: str, noise: np.ndarray) -> str:
    """Return the pattern with random characters of its classes."""
    characters = (
        _CHARACTERS[c][int(u * len(_CHARACTERS[c]))] if c in _CHARACTERS else c
        for c, u in zip(pattern, noise, strict=False)
    )
    return "".join(characters)
