"""Texts of another kind among identifiers, such as hosts among IP addresses, or firms among people.

Words that many rows share stay, as often as in the table. The others get new texts of their own
form. Without that, all rows would have identifiers of the commonest kind.
"""

import re
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

from models.noise import Indices, uniforms
from models.tabular.identifiers.kinds import FITTERS, fit_codes, is_wordy
from models.tabular.identifiers.patterns import FIRM, IPV4, PATTERNS, pattern_of
from models.tabular.identifiers.people.person_names import given_name_share, name_locale, name_share
from models.tabular.identifiers.templates import OTHER_NOISE, Counter, TemplateSet, choose
from models.tabular.identifiers.things.numbered import numbered_names
from models.tabular.identifiers.tokens import MIN_SHARED_COUNT, MIN_SHARED_FRACTION
from models.tabular.identifiers.words.public_words import public_words

MIN_OF_KIND = 0.3  # share of the different texts; with fewer, the column is not of the kind
MIN_PUBLIC_COUNT = 3  # rows that must share public words that are kept
MIN_REPEATS = 3  # times the mean of the column, of words among words or codes
MIN_REST = 5  # different texts that show a form
MIN_REST_OF_KIND, MIN_PEOPLE = 0.9, 0.4  # share of the other texts
MIN_FIRMS, MAX_FIRMS = 20, 0.5  # different ones, and their share of the texts, among people
MIN_WITH_DIGITS = 0.9  # share of the different codes
_WORDY_KINDS = (None, "person", "street", "company", "city")
_IPV4 = re.compile(IPV4)
_WORD = re.compile(r"[^\W\d_]{2,}")
_DIGIT = re.compile(r"\d")
# Words that stand in place of an identifier and identify nobody.
_PLACEHOLDERS = (
    "address admin administrator anonym anonyme anonymous applicable assigned aucun automatic "
    "available bar batch blank box canceled cancelled cash check checkout collect "
    "confidential console declined default deleted delivery desconocido direct email employed "
    "empty external guest hidden homeless inconnu internal keine listed localhost manual misc "
    "miscellaneous missing multiple na ninguno no none not null number offline online pending "
    "phone pickup po provided published redacted refused removed restricted retired root "
    "scheck self server set shared specified stated support tba tbd temp transient unassigned "
    "unavailable unbekannt unidentified unknown unlisted unnamed unspecified url vacant "
    "various via void walk webmaster website withheld "
)

_MARK_LETTERS = ("", "na", "nn", "x", "\u65e0", "\u7121")  # of marks such as n/a


class OtherCounts(NamedTuple):
    """Numbers of rows with each word that stays, and with each other text of another kind."""

    words: dict[str, int]
    rest: dict[str, int]

    @property
    def keeps_form(self) -> bool:
        """True if the other texts are enough to show a form."""
        return len(self.rest) >= MIN_REST


def find_other_texts(
    counts: Mapping[str, int], kind: str | None, min_value_count: int = 0
) -> OtherCounts:
    """Return the texts that are not identifiers of the kind, with their counts.

    Among texts without a form of their own, such as codes and names, only words that repeat far
    more often than they do are of another kind.
    """
    total = sum(counts.values())
    pattern = pattern_of(kind)
    if pattern is not None:
        of_kind = [text for text in counts if pattern.fullmatch(text.strip())]
        if kind == "ip":  # the commoner version of the two
            of_version_4 = list(filter(_IPV4.fullmatch, of_kind))
            of_version_6 = [text for text in of_kind if not _IPV4.fullmatch(text)]
            of_kind = max(of_version_4, of_version_6, key=len)
        others = counts.keys() - set(of_kind)
        if len(of_kind) < MIN_OF_KIND * len(counts):
            return OtherCounts({}, {})
        least = max(MIN_SHARED_COUNT, MIN_SHARED_FRACTION * total, min_value_count)
        shared = [text for text in others if counts[text] >= least]
        common = [t for t in others if counts[t] >= max(MIN_PUBLIC_COUNT, min_value_count)]
        words = _without_people(shared) | {t for t in common if is_placeholder(t) or _are_public(t)}
    else:
        words = _frequent_words(counts, kind, min_value_count) if kind in _WORDY_KINDS else set()
        others = words
    if kind == "person":
        firms = {text for text in counts if FIRM.fullmatch(text)}
        others = others | (firms if MIN_FIRMS <= len(firms) <= MAX_FIRMS * len(counts) else set())
    # The order of a set depends on the process.
    return OtherCounts(
        {text: counts[text] for text in counts if text in words},
        {text: counts[text] for text in counts if text in others and text not in words},
    )


def _without_people(texts: Sequence[str]) -> set[str]:
    """Return the texts that have no word that is a name of a person."""
    locale = name_locale(texts)
    return {text for text in texts if not name_share([text], locale)}


def _frequent_words(counts: Mapping[str, int], kind: str | None, min_value_count: int) -> set[str]:
    total = sum(counts.values())
    least = max(MIN_PUBLIC_COUNT, MIN_SHARED_FRACTION * total, min_value_count)
    least = max(least, MIN_REPEATS * total / max(1, len(counts)))
    frequent = [t for t, n in counts.items() if n >= least and not _DIGIT.search(t)]
    if not frequent:
        return set()
    with_digits = sum(_DIGIT.search(text) is not None for text in counts)
    if kind is None and with_digits >= MIN_WITH_DIGITS * len(counts) and not is_wordy([*counts]):
        return {t for t in frequent if counts[t] >= MIN_SHARED_COUNT or is_placeholder(t)}
    return set(filter(is_placeholder, frequent))


def is_placeholder(text: str) -> bool:
    """Return True for marks, and for words that identify nobody and are not names of people.

    One of the words says that there is no identifier: `Student` may be a value like others.
    """
    words = {word.casefold() for word in _WORD.findall(text)}
    placeholders = words & {*_PLACEHOLDERS.split()}
    if _DIGIT.search(text):
        return False
    if not words:  # letters alone, as in J. K., may be the initials of somebody
        return "".join(filter(str.isalpha, text)).casefold() in _MARK_LETTERS
    return bool(placeholders) and (words == placeholders or _are_public(text))


def _are_public(text: str) -> bool:
    """Return True for public words that are not names of people."""
    words = {word.casefold() for word in _WORD.findall(text)}
    is_public = words <= public_words() | {*_PLACEHOLDERS.split()} and not _DIGIT.search(text)
    return is_public and bool(_without_people([text]))


@dataclass(frozen=True)
class OtherTexts:
    """The other texts of an identifier column.

    `words` stay; `shares` are their shares of the values, then that of texts of the form `rest`.
    """

    words: tuple[str, ...]
    shares: tuple[float, ...]
    rest: TemplateSet | Counter | None

    @classmethod
    def fit(
        cls, name: str, texts: Sequence[str], kind: str | None, min_value_count: int = 0
    ) -> tuple[Self | None, frozenset[str]]:
        """Return the other texts of a column, or None, and all texts that are not of the kind."""
        words, rest = counts = find_other_texts(Counts(texts), kind, min_value_count)
        if not words and not rest:
            return None, frozenset()
        source = _fit_rest(name, [*rest], min_value_count) if counts.keeps_form else None
        shares = [n / len(texts) for n in words.values()]
        shares += [sum(rest.values()) / len(texts)] if source is not None else []
        others = cls(tuple(words), tuple(shares), source) if shares else None
        return others, frozenset((*words, *rest))

    def replace_some(
        self, texts: pa.StringArray, seed: int, stream: int, indices: Indices
    ) -> pa.StringArray:
        """Return the texts of all rows, of which some become other texts."""
        uniform = uniforms(seed, indices, OTHER_NOISE, stream)[:, OTHER_NOISE - 1]
        chosen = choose([1 - sum(self.shares), *self.shares], uniform)
        words = pa.array([None, *self.words, None][: len(self.shares) + 1], pa.string())
        texts = pc.coalesce(words.take(pa.array(chosen)), texts)
        is_rest = chosen == len(self.words) + 1
        if self.rest is None or not is_rest.any():
            return texts
        return pc.replace_with_mask(
            texts, pa.array(is_rest), self.rest.texts(seed, stream, indices[is_rest])
        )

    def to_json(self) -> dict[str, Any]:
        rest = {"rest": self.rest.to_json()} if self.rest is not None else {}
        return {"words": list(self.words), "shares": list(self.shares), **rest}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        rest = fields.get("rest")
        source_type = Counter if rest and "counter" in rest else TemplateSet
        source = source_type.from_json(rest) if rest else None
        return cls(tuple(fields["words"]), tuple(fields["shares"]), source)


def _fit_rest(name: str, texts: Sequence[str], min_value_count: int) -> TemplateSet | Counter:
    """Return a source of texts of the form of most texts: a kind, names of people, or codes."""
    kinds = (kind for kind in (*PATTERNS, "phone") if _share_of_kind(texts, kind))
    kind = next(kinds, None)
    if kind is None and given_name_share(texts, name_locale(texts)) >= MIN_PEOPLE:
        kind = "person"
    fitter = FITTERS.get(kind or "", fit_codes)
    return fitter(texts, min_value_count) or numbered_names(name, texts)


def _share_of_kind(texts: Sequence[str], kind: str) -> bool:
    pattern = pattern_of(kind)
    assert pattern is not None  # noqa: S101 - the caller passes kinds with a pattern
    return sum(map(bool, map(pattern.fullmatch, texts))) >= MIN_REST_OF_KIND * len(texts)
