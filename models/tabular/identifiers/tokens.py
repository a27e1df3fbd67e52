"""Fitting of templates to identifiers: codes, words, names and addresses.

A text is split into tokens: runs of letters, runs of digits, and other characters. Texts with the
same lengths and classes of tokens have the same shape, and each common shape becomes a template.
Tokens that many texts share are kept; others are replaced by new ones of the same class. What only
a few texts have in common is never kept, because it could identify somebody.
"""

import math
import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.tabular.identifiers.templates import Pool, TemplateBuilder, TemplateSet

MAX_SHAPES = 40
MAX_PREFIXES = 40  # that have their own shares
MIN_COVERAGE = 0.9  # share of the texts that the most common shapes must have
MIN_SHARED_COUNT = 10  # texts that must share a token that is kept
NAME_KINDS = ("first", "last")  # prefixes of the classes of names of people
MIN_SHAPE_FRACTION = 0.02  # of the texts; rarer shapes are left out
MIN_SHARED_FRACTION = 0.01
MIN_WORD_COVERAGE = 0.5  # share of the words of a position that must be shared to keep them
MIN_WORDS = 40  # of usual lengths in a pool
MIN_DOMINANT = 0.8  # share of a character that is used alone at its position
MAX_WIDENED_DIGITS = 3
MIN_CAPACITY = 10  # combinations per text, so that most new texts are new
MIN_CHARACTER_COUNT = 20  # texts that show the characters of a position
RARE_CASE = 0.02  # share of the texts with letters of another case
MAX_SMALL_ALPHABET = 0.5  # share of a class that all texts use, such as ACGT, 01 and a to f

_HEX = "0123456789abcdef"
ALPHABETS: dict[str, str] = {
    "9": string.digits,
    "A": string.ascii_uppercase,
    "a": string.ascii_lowercase,
    "h": _HEX,
    "H": _HEX.upper(),
    "X": string.digits + string.ascii_uppercase,
    "x": string.digits + string.ascii_lowercase,
    "*": string.digits + string.ascii_letters,
}
MIN_HEX_PATTERNS, MIN_HEX_DIGITS = 2, 4  # orders of digits and letters; digits of a group
_MIXED = re.compile(r"[0-9][A-Za-z]|[A-Za-z][0-9]")
_RUNS = re.compile(r"[A-Z]+|[a-z]+|[0-9]+|.", re.DOTALL)
_ALPHANUMERIC_RUNS = re.compile(r"[A-Za-z0-9]+|.", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """A part of a text. `kind` is a class of characters, a class of words, or "" for a mark."""

    text: str
    kind: str

    @property
    def shape(self) -> str:
        if len(self.kind) == 1:
            return self.kind * len(self.text)
        return f"<{self.kind}>" if self.kind else self.text


Tokens = tuple[Token, ...]


def code_tokens(texts: Sequence[str]) -> list[Tokens]:
    """Return the tokens of codes such as `C-00017` or `0af3`, in the narrowest classes that fit."""
    joined, classed = "".join(texts), [_split(text, "") for text in texts]
    num_shapes = len({_shape(tokens) for tokens in classed})
    are_hex = re.search(r"[a-f]", joined) and not re.search(r"[g-zA-Z]", joined)
    if num_shapes > min(len(texts) / 2, MAX_SHAPES / 2) and are_hex:
        return [_split(text, "h") for text in texts]
    groups = _hexadecimal_groups(texts)
    if groups and shape_coverage(groups) >= MIN_COVERAGE:
        return groups
    if shape_coverage(classed) >= MIN_COVERAGE:
        return classed
    least = RARE_CASE * len(texts)  # a few texts of another case are written otherwise
    has_upper = sum(bool(re.search("[A-Z]", text)) for text in texts) > least
    has_lower = sum(bool(re.search("[a-z]", text)) for text in texts) > least
    if not has_lower:
        is_hex = not re.search("[G-Z]", joined)
        return [_split(text, "H" if is_hex else "X") for text in texts]
    return [_split(text, "*" if has_upper else "x") for text in texts]


def _hexadecimal_groups(texts: Sequence[str]) -> list[Tokens]:
    """Return the tokens of codes such as `U+1F1E7 U+1F1EB`, or none.

    All parts that mix digits and letters are hexadecimal and of one letter case.
    """
    split = [_split(text, "*") for text in texts]
    mixed = {token.text for tokens in split for token in tokens if _MIXED.search(token.text)}
    patterns = {_RUNS.sub(lambda run: _kind(run[0]), text) for text in mixed}
    kind = next((k for k in "hH" if set("".join(mixed)) <= set(ALPHABETS[k])), "")
    if not kind or len(patterns) < MIN_HEX_PATTERNS:
        return []
    return [
        tuple(
            part
            for token in tokens
            for part in (
                (Token(token.text, kind),)
                if len(token.text) >= MIN_HEX_DIGITS and set(token.text) <= set(ALPHABETS[kind])
                else _split(token.text, "")
            )
        )
        for tokens in split
    ]


def _split(text: str, kind: str) -> Tokens:
    """Split a code; with `kind`, runs of letters and digits are tokens of this class."""
    pattern = _ALPHANUMERIC_RUNS if kind else _RUNS
    return tuple(Token(part, kind or _kind(part)) for part in pattern.findall(text))


def _kind(part: str) -> str:
    for kind in "9Aa":
        if part[0] in ALPHABETS[kind]:
            return kind
    return ""


def shape_coverage(texts: Sequence[Tokens]) -> float:
    """Return the share of the texts with the most common shapes."""
    counts = Counter(_shape(tokens) for tokens in texts)
    return sum(n for _, n in counts.most_common(MAX_SHAPES)) / len(texts)


def _shape(tokens: Tokens) -> tuple[tuple[str, str], ...]:
    # The kind tells the mark * from a character of the class *.
    return tuple((token.kind, token.shape) for token in tokens)


def fit_templates(
    texts: Sequence[Tokens],
    word_pools: Mapping[str, Pool],
    min_value_count: int = 0,
    *,
    extra: Pool | None = None,
    growth: int | None = None,
    min_capacity: int = 0,
    kept_words: frozenset[str] = frozenset(),
) -> TemplateSet:
    """Fit one template to each common shape.

    `word_pools` has a pool for each class of words. `extra` is the pool that is
    inserted before slot `growth` when all combinations are used; by default, characters of the
    last class are inserted after its last run. The last digits are free for at least
    `min_capacity` combinations. `kept_words` stay even if fewer texts share them.
    """
    by_shape: dict[tuple[tuple[str, str], ...], list[Tokens]] = defaultdict(list)
    for tokens in texts:
        by_shape[_shape(tokens)].append(tokens)
    ranked = sorted(by_shape.values(), key=len, reverse=True)
    smallest = max(min_value_count, 2, MIN_SHAPE_FRACTION * len(texts))
    kept = [group for group in ranked[:MAX_SHAPES] if len(group) >= smallest] or ranked[:1]
    totals = Counter(text for tokens in texts for text in {token.text for token in tokens})
    shared = _shared_ends(texts, max(min_value_count, min(MIN_SHARED_COUNT, len(texts))))
    minimum = max(min_value_count, MIN_SHARED_COUNT, MIN_SHARED_FRACTION * len(texts))
    shared_texts = frozenset(text for text, n in totals.items() if n >= minimum) | kept_words
    alphabets = _used_alphabets(texts)
    builder = TemplateBuilder()
    for group in kept:
        slots: list[Pool] = []
        last = 0, ALPHABETS["9"]
        for i, column in enumerate(zip(*group, strict=True)):
            fixed = shared[0] > i or shared[1] >= len(group[0]) - i
            alphabet = alphabets.get(column[0].kind, "")
            slots += _slots(
                column, shared_texts, word_pools, min_value_count, alphabet, fixed=fixed
            )
            if alphabet and not fixed:
                last = len(slots), alphabet
        if extra is None and math.prod(map(len, slots)) < MIN_CAPACITY * len(group):
            slots = _widened(slots, [*alphabets.values(), *ALPHABETS.values()])
        slots = _with_free_digits(slots, min_capacity)
        end = len(slots) if growth is None else growth
        at, pool = (last[0], tuple(last[1])) if extra is None else (end, extra)
        for some_slots, weight in _by_first_choice(slots, group, min_value_count):
            builder.add(some_slots, weight, at, pool)
    return builder.build()


def _by_first_choice(
    slots: Sequence[Pool], group: Sequence[Tokens], min_value_count: int
) -> Iterator[tuple[list[Pool], float]]:
    """Yield the slots with each choice of the first slot that has several, and its weight.

    So new codes have their prefixes as often as in the table, if there are enough codes with each
    of them, and at least `min_value_count` texts. All other choices are equally likely.
    """
    at = next((i for i, pool in enumerate(slots) if len(pool) > 1), None)
    if at is None:
        yield list(slots), float(len(group))
        return
    begin = "".join(pool[0] for pool in slots[:at])
    counts = Counter[str]()
    for tokens in group:
        rest = "".join(token.text for token in tokens).removeprefix(begin)
        counts.update(choice for choice in slots[at] if rest.startswith(choice))
    least = max(min_value_count, 1)
    were_seen = all(counts[choice] >= least for choice in slots[at])
    were_seen &= sum(counts.values()) <= len(group)  # no choice begins with another one
    is_enough = math.prod(map(len, slots[at + 1 :])) >= MIN_CAPACITY * len(group)
    if not were_seen or not is_enough or not 2 <= len(slots[at]) <= MAX_PREFIXES:
        yield list(slots), float(len(group))
        return
    for choice in slots[at]:
        yield [*slots[:at], (choice,), *slots[at + 1 :]], float(counts[choice])


def _used_alphabets(texts: Sequence[Tokens]) -> dict[str, str]:
    """Return the alphabet of each class of characters: all, or the few that all texts have."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in ALPHABETS}
    for tokens in texts:
        for token in tokens:
            if len(token.kind) == 1:
                counts[token.kind].update(token.text)
    small = {
        kind: "".join(sorted(seen))
        for kind, seen in counts.items()
        if 1 < len(seen) <= MAX_SMALL_ALPHABET * len(ALPHABETS[kind])
        and seen.total() >= MIN_CHARACTER_COUNT * len(seen)
    }
    return ALPHABETS | small


def _widened(slots: Sequence[Pool], alphabets: Sequence[str]) -> list[Pool]:
    """Return the pools with all characters or numbers in place of several that were seen.

    Those that were seen have hardly more combinations than there are texts.
    """
    return [_widened_pool(pool, alphabets) if len(pool) > 1 else pool for pool in slots]


def _with_free_digits(slots: Sequence[Pool], capacity: int) -> list[Pool]:
    """Return the pools with any digit at the last places of digits, until there are enough.

    Digits that all texts have, such as 00 at their end, become places, too.
    """
    if math.prod(map(len, slots)) >= capacity:
        return list(slots)
    is_run = [len(slot) == 1 and slot[0].isdigit() for slot in slots]
    free: list[Pool] = []
    for slot, run in zip(slots, is_run, strict=True):
        free += [(digit,) for digit in slot[0]] if run else [slot]
    for i in reversed(range(len(free))):
        if math.prod(map(len, free)) >= capacity:
            break
        if all(len(choice) == 1 and choice in string.digits for choice in free[i]):
            free[i] = tuple(string.digits)
    return free


def _widened_pool(pool: Pool, alphabets: Sequence[str]) -> Pool:
    lengths = {len(choice) for choice in pool}
    if lengths == {1}:
        fitting = (alphabet for alphabet in alphabets if set(pool) <= set(alphabet))
        # A run of digits has no leading zero if none of the texts has one.
        return tuple(c for c in next(fitting, "".join(pool)) if c != "0" or "0" in pool)
    digits = next(iter(lengths))
    if len(lengths) == 1 and digits <= MAX_WIDENED_DIGITS and all(map(str.isdigit, pool)):
        has_zeros = digits == 1 or any(choice[0] == "0" for choice in pool)
        numbers = range(0 if has_zeros else 10 ** (digits - 1), 10**digits)
        return tuple(f"{number:0{digits}}" for number in numbers)
    return pool


def _shared_ends(texts: Sequence[Tokens], minimum: int) -> tuple[int, int]:
    """Return how many tokens at the beginning and at the end all texts have in common."""
    if len(texts) < max(minimum, 2):
        return 0, 0
    shortest = min(map(len, texts))
    first = 0
    while first < shortest and len({tokens[first].text for tokens in texts}) == 1:
        first += 1
    last = 0
    while last < shortest - first and len({tokens[-1 - last].text for tokens in texts}) == 1:
        last += 1
    return first, last


def _slots(
    column: tuple[Token, ...],
    shared_texts: frozenset[str],
    word_pools: Mapping[str, Pool],
    min_value_count: int,
    alphabet: str,
    *,
    fixed: bool,
) -> list[Pool]:
    """Return the pools of one token of a shape.

    `shared_texts` are tokens that many texts have, which are kept unless they are names of people.
    """
    token = column[0]
    if not token.kind or fixed:
        return [(token.text,)]
    counts = Counter(each.text for each in column)
    is_name = token.kind.startswith(NAME_KINDS)
    frequent = () if is_name else tuple(sorted(shared_texts & set(counts)))
    is_word = len(token.kind) > 1
    needed = MIN_COVERAGE if token.text[0].isdigit() else MIN_WORD_COVERAGE
    if frequent and sum(counts[text] for text in frequent) >= needed * len(column):
        return [frequent]
    if is_word:
        return [_unseen(word_pools[token.kind], counts)]
    return _characters(column, alphabet, min_value_count)


def _unseen(pool: Pool, seen: Mapping[str, int]) -> Pool:
    """Return the words of usual lengths that no text has, so that new texts differ from all.

    Where too few are left, other words are used, too.
    """
    lengths = sorted(len(text) for text, n in seen.items() for _ in range(n))
    shortest, longest = lengths[len(lengths) // 20], lengths[-1 - len(lengths) // 20]
    similar = tuple(word for word in pool if shortest <= len(word) <= longest)
    similar = similar if len(similar) >= MIN_WORDS else pool
    unseen = tuple(word for word in similar if word not in seen)
    return unseen if 2 * len(unseen) >= len(similar) else similar


def _characters(column: tuple[Token, ...], alphabet: str, min_value_count: int) -> list[Pool]:
    """Return the alphabet of each position of a run.

    It is the class, or the characters that are seen if there are many more texts than characters.
    """
    pools: list[Pool] = []
    for position in zip(*(token.text for token in column), strict=True):
        counts = Counter(position)
        seen = {c for c, n in counts.items() if n >= max(min_value_count, 1)}
        character, most = counts.most_common(1)[0]
        if most >= max(min_value_count, MIN_SHARED_COUNT, MIN_DOMINANT * len(position)):
            seen = {character}
        is_known = len(position) >= max(MIN_CHARACTER_COUNT, 10 * len(seen)) and seen
        pools.append(tuple(sorted(seen)) if is_known else tuple(alphabet))
    if alphabet == string.digits and len(pools) > 1 and "0" not in {t.text[0] for t in column}:
        pools[0] = tuple(c for c in pools[0] if c != "0") or pools[0]
    return pools
