"""New names of things, such as titles, products and places, from the words of a column.

Words keep their places: each common sequence of letter cases, marks and function words becomes a
template, whose free places get the words that `thing_words` allows. Columns whose words do not
suffice get numbered names, such as `Team 31`.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from string import ascii_uppercase
from zlib import crc32

from models.tabular.identifiers.templates import Pool, TemplateBuilder, TemplateSet
from models.tabular.identifiers.things.thing_tokens import (
    INITIAL,
    is_other,
    mark_before,
    thing_tokens,
)
from models.tabular.identifiers.things.thing_words import (
    MAX_POOL,
    MIN_POOL,
    MIN_SINGLE_POOL,
    SEED,
    ThingWords,
)
from models.tabular.identifiers.tokens import MAX_SHAPES, Token, Tokens
from models.tabular.identifiers.words.word_letters import without_marks

MAX_WORDS = 12  # of a new name; longer names are not used as templates
MIN_SHAPE_COVERAGE = 0.8  # of the names, by templates that several names share
MIN_PLACES, MIN_SINGLE_PLACES = 0.2, 0.4  # share of names that look so, for new names of places
MIN_PATTERNED = 0.7  # share of names with words of a pattern, to which invented places fit
MAX_SINGLE = 0.7  # share of names of one word; a column of more may be one of any words
MIN_CHOICES = 8  # different words and numbers in new names; with fewer, these are alike
MIN_CONTEXT = 3  # words with the same mark before them, which need no other words
MIN_USABLE_SINGLE = 0.25  # share of usable words, for which other words may be whole names, too
_PLACE = re.compile(
    r"(?i)\b(?:city|county|town|village|state|district|region|province|park|lake|river|mount|island|"
    r"north|south|east|west|new|san|santa|saint|st|fort|port|street|road|school|university|station|"
    r"airport|hospital|church|bank)\b|(?:ton|town|ville|burgh?|berg|borough|bury|port|mouth|stadt|furt|"
    r"chester|haven|shire|field|ford|land|ham|grad|pur|abad|stan|wood|dale)\b"
)
_BLANKS = re.compile(" {2,}")
MIN_SENTENCE_SPACES, MIN_SENTENCES = 4, 0.4  # in a text; share of such texts
MAX_COMMON_WORDS = 0.5  # share of the words that half of the texts have

Groups = dict[tuple[str, ...], list[Tokens]]  # names of the same shape


def fit_things(texts: Sequence[str], min_value_count: int = 0) -> TemplateSet | None:
    """Fit templates to names of things; return None if too few words may be used.

    With `min_value_count`, words that fewer names share are not used, and no word for being public.
    A name counts once, however many rows have it.
    """
    return _Things(list(dict.fromkeys(texts)), min_value_count).fit()


class _Things:
    def __init__(self, texts: Sequence[str], min_value_count: int) -> None:
        names = [thing_tokens(text) for text in _with_single_blanks(texts)]
        self._words = ThingWords(names, min_value_count)
        fitting = [tokens for tokens in names if len(tokens) <= 2 * MAX_WORDS]
        self._names = list(filter(self._words.has_a_choice, fitting)) or fitting or names[:1]
        self._smallest_group = max(min_value_count, 2)
        single = sum(len(tokens) == 1 for tokens in names)
        places = sum(_PLACE.search(text) is not None for text in texts)
        patterned = sum(any(t.text in self._words.literals for t in tokens) for tokens in names)
        self._adds_places = False
        self._have_patterns = patterned >= MIN_PATTERNED * len(names)
        least = MIN_PLACES if single < MAX_SINGLE * len(names) else MIN_SINGLE_PLACES
        self._may_be_places = (
            self._words.are_latin and self._words.is_small and places >= least * len(texts)
        )

    def fit(self) -> TemplateSet | None:
        """Return templates of the words of the column or, if these do not suffice, of places."""
        templates = self._fit()
        if templates is None and self._have_patterns:
            self._adds_places = True
            templates = self._fit()
        return templates

    def _fit(self) -> TemplateSet | None:
        builder = TemplateBuilder()
        groups = self._groups()
        total = sum(map(len, groups.values()))
        extra = self._extra_words("title")
        capacity, choices = 0, set[str]()
        for shape, group in groups.items():
            columns = zip(*group, strict=True)
            parts = zip(shape, columns, strict=True)
            slots = [
                self._slot(part, column, shape, (column[0].kind, mark_before(group[0], i)))
                for i, (part, column) in enumerate(parts)
            ]
            if all(slots):
                slots = _without_repeats(slots)
                capacity += math.prod(map(len, slots))
                varied = [pool for pool in slots if pool != tuple(ascii_uppercase)]
                choices.update(w for pool in varied for w in pool if without_marks(w).isalnum())
                other = next((token.kind for token in group[0] if is_other(token.kind)), None)
                added = extra if other is None else self._extra_words(other) or extra
                builder.add(slots, len(group) / total, len(slots), added)
        if self._words.is_small and (
            capacity < len(set(self._names)) or len(choices) < MIN_CHOICES
        ):
            return None
        return builder.build() if capacity else None

    def _extra_words(self, kind: str) -> Pool:
        """Return words, after a mark, that are added to names when all combinations are used."""
        words = {token.text for token in self._words.usable if token.kind == kind}
        if is_other(kind):
            words = {*self._words.pool(kind, MIN_POOL, are_places=False, coined_only=False)}
        else:
            words |= {"New", "Old", "North", "South"}
        mark = self._mark()
        words = words if mark == " " else {word.lower() for word in words}
        return tuple(mark + word for word in sorted(words - self._words.literals))

    def _mark(self) -> str:
        """Return the mark between words: a blank, or what names such as red_box have instead."""
        marks = Counter(token.text for tokens in self._names for token in tokens if not token.kind)
        return next((mark for mark in "-_." if marks[mark] and not marks[" "]), " ")

    def _groups(self) -> Groups:
        """Return the names of each template: common shapes, and some others if names are varied."""
        groups: Groups = {}
        rest = self._names
        for with_literals in (True, False):
            by_shape: dict[tuple[str, ...], list[Tokens]] = defaultdict(list)
            for tokens in rest:
                by_shape[self._shape(tokens, with_literals=with_literals)].append(tokens)
            smallest = max(self._smallest_group, 0.005 * len(self._names))
            ranked = sorted(by_shape.items(), key=lambda item: (-len(item[1]), item[0]))
            room = MAX_SHAPES - len(groups) - (MAX_SHAPES // 4 if with_literals else 0)
            kept = [(shape, group) for shape, group in ranked if len(group) >= smallest][:room]
            for shape, group in kept:
                groups.setdefault(shape, []).extend(group)
            used = {shape for shape, _ in kept}
            rest = [t for shape, group in ranked if shape not in used for t in group]
        covered = len(self._names) - len(rest)
        if covered < MIN_SHAPE_COVERAGE * len(self._names) and rest:
            chosen = random.Random(SEED).sample(rest, min(len(rest), MAX_SHAPES - len(groups)))  # noqa: S311
            for tokens in chosen:
                groups.setdefault(self._shape(tokens, with_literals=True), []).append(tokens)
        return groups

    def _shape(self, tokens: Tokens, *, with_literals: bool) -> tuple[str, ...]:
        """Return the fixed words and marks, and the kinds of others; the unit of a number stays."""
        return tuple(
            token.text
            if not token.kind
            or token.text in self._words.grammar
            or (
                (with_literals or _follows_number(tokens, i)) and token.text in self._words.literals
            )
            else f"<{token.kind}{len(token.text) if token.kind == '9' else ''}>"
            for i, token in enumerate(tokens)
        )

    def _slot(
        self,
        part: str,
        column: tuple[Token, ...],
        shape: tuple[str, ...],
        context: tuple[str, str],
    ) -> Pool:
        """Return the words, or the numbers, of one place of a template; none if there are few."""
        if not _is_free(part):
            return (part,)
        if column[0].kind == "9":
            return self._words.numbers(column)
        here = {t.text for t in column if t in self._words.usable or t.text in self._words.literals}
        case = column[0].kind
        if case == INITIAL:
            return tuple(ascii_uppercase)
        is_single = sum(map(_is_free, shape)) == 1
        needed = MIN_SINGLE_POOL if is_single else MIN_POOL
        near = here | self._words.near[context]
        if needed == MIN_POOL and len(near) >= MIN_CONTEXT:
            here, needed = here if len(here) >= needed else near, MIN_CONTEXT
        if len(here) < needed:
            seen = {token.text for token in column}
            coined_only = len(shape) == 1 and len(here) < MIN_USABLE_SINGLE * len(seen)
            in_pattern = self._adds_places and any(part in self._words.literals for part in shape)
            are_places = case == "title" and (in_pattern or self._may_be_places)
            missing = needed - len(here)
            here.update(
                self._words.pool(case, missing, are_places=are_places, coined_only=coined_only)
            )
        pool = sorted(here) if len(here) >= MIN_CONTEXT else ()
        return tuple(random.Random(SEED).sample(pool, min(len(pool), MAX_POOL)))  # noqa: S311


def _with_single_blanks(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts with single blanks, unless most have several; else a few make templates."""
    several = sum(_BLANKS.search(text) is not None for text in texts)
    return [_BLANKS.sub(" ", text) for text in texts] if 2 * several < len(texts) else texts


def _follows_number(tokens: Tokens, index: int) -> bool:
    before = [token for token in tokens[:index][-2:] if token.text != " "]
    return bool(before) and before[-1].kind == "9"


def have_few_shapes(texts: Sequence[str]) -> bool:
    """Return True if half of the texts have one of few sequences of letter cases and marks.

    Titles that a program composes do; sentences do not.
    """
    names = [thing_tokens(text) for text in texts]
    return not _are_mostly_lower(names) and _share_shapes(names)


def are_sentences(texts: Sequence[str]) -> bool:
    """Return True if many texts are long, in small letters, and not composed of the same words."""
    names = [thing_tokens(text) for text in texts if text.count(" ") >= MIN_SENTENCE_SPACES]
    are_many = len(names) >= MIN_SENTENCES * len(texts)
    if not (are_many and _are_mostly_lower(names)):
        return False
    words = [{token.text for token in tokens if token.kind} for tokens in names]
    counts = Counter(word for each in words for word in each)
    common = sum(n for n in counts.values() if 2 * n >= len(names))
    return common < MAX_COMMON_WORDS * counts.total()


def _are_mostly_lower(names: Sequence[Tokens]) -> bool:
    kinds = Counter(token.kind for tokens in names for token in tokens if token.kind)
    return 2 * kinds["lower"] > kinds.total()


def _share_shapes(names: Sequence[Tokens]) -> bool:
    """Return True if half of the names have one of few sequences of letter cases and marks."""
    shapes = Counter(tuple(token.kind or token.text for token in tokens) for tokens in names)
    covered = sum(n for shape, n in shapes.most_common(MAX_SHAPES // 2) if n > 1)
    return 2 * covered > len(names)


def _without_repeats(slots: Sequence[Pool]) -> list[Pool]:
    """Return pools of words that have no word in common, so that no name has a word twice."""
    places = Counter(word for pool in slots if len(pool) > 1 for word in pool)
    distinct, seen = [], Counter[str]()
    for pool in slots:
        numbers = {word: crc32(word.encode()) % max(1, places[word]) for word in pool}
        kept = [word for word, number in numbers.items() if number == seen[word]]
        seen.update(pool)
        distinct.append(tuple(kept) if len(pool) > 1 and len(kept) >= MIN_CONTEXT else pool)
    return distinct


def _is_free(part: str) -> bool:
    """Return True for a part of a shape in place of which any word, or number, of a kind may be."""
    return part.startswith("<") and len(part) > 2
