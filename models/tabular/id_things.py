"""New names of things, such as titles, products and places, from the words of a column.

A word stays if at least MIN_SHARED_NAMES names have it (the minimum frequency rule of Hundepool et
al., Statistical Disclosure Control, 2012) or if it is a public one. All other words, which could be
the name of a person, are replaced by words of the first two kinds, or by coined ones. Words keep
their places: each common sequence of letter cases, marks and function words becomes a template.
Columns whose words do not suffice get numbered names, such as `Team 31`.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from string import ascii_uppercase
from zlib import crc32

from models.tabular.coined_words import MIN_LETTERS, coin_words
from models.tabular.id_templates import Pool, TemplateBuilder, TemplateSet
from models.tabular.id_tokens import MAX_SHAPES, Token, Tokens
from models.tabular.id_words import in_case, place_names
from models.tabular.public_words import public_words
from models.tabular.thing_tokens import INITIAL, OTHER_SCRIPT, is_other, mark_before, thing_tokens

MIN_SHARED_NAMES = 3
MAX_WORDS = 12  # of a new name; longer names are not used as templates
LITERAL_SHARE = 0.04  # of the names; a word of more is part of templates, such as "of the"
MIN_LITERAL_NAMES, FEW_NAMES = 10, 8  # and at most one of so many names
MIN_SHAPE_COVERAGE = 0.8  # of the names, by templates that several names share
# Different words that show a spelling. Fewer become names of places, if enough names look so.
MIN_OWN_WORDS, MIN_PLACES, MIN_SINGLE_PLACES = 300, 0.2, 0.4
MIN_PATTERNED = 0.7  # share of names with words of a pattern, to which invented places fit
MAX_SINGLE = 0.7  # share of names of one word; a column of more may be one of any words
MIN_POOL, MAX_POOL = 10, 1_000
MIN_CHOICES = 8  # different words and numbers in new names; with fewer, these are alike
MIN_CONTEXT = 3  # words with the same mark before them, which need no other words
MIN_SINGLE_POOL = 800  # of names of one word
MIN_USABLE_SINGLE = 0.25  # share of usable words, for which other words may be whole names, too
# Words of the grammar of a name, which identify nobody and keep their places in it.
_FUNCTION_WORDS = (
    "a an and are as at be but by do for from has have i if in into is it me my no not of on or "
    "our re so that the their this to up us was we were what when who with you your aan als am "
    "auf aus bei bis das dem den der des die ein eine er es et het im ist mit nach oder op over "
    "sich sie te uit und van vom von vor wir zu zum zur al au aux avec ce con da de del dell "
    "della delle dello di dos du e el en est gli il la las le les lo los mi mon na nel o para "
    "par por pour que qui se sur u un una une uno y "
)
_YEARS = range(1500, 2200)
_PLACE = re.compile(
    r"(?i)\b(?:city|county|town|village|state|district|region|province|park|lake|river|mount|island|"
    r"north|south|east|west|new|san|santa|saint|st|fort|port|street|road|school|university|station|"
    r"airport|hospital|church|bank)\b|(?:ton|town|ville|burgh?|berg|borough|bury|port|mouth|stadt|furt|"
    r"chester|haven|shire|field|ford|land|ham|grad|pur|abad|stan|wood|dale)\b"
)
MIN_SENTENCE_SPACES, MIN_SENTENCES = 4, 0.4  # in a text; share of such texts
MAX_COMMON_WORDS = 0.5  # share of the words that half of the texts have
_SEED = 0

Groups = dict[tuple[str, ...], list[Tokens]]  # names of the same shape


def fit_things(texts: Sequence[str], min_value_count: int = 0) -> TemplateSet | None:
    """Fit templates to names of things; return None if too few words may be used.

    With `min_value_count`, words that fewer names share are not used, and no word for being public.
    A name counts once, however many rows have it.
    """
    return _Things(list(dict.fromkeys(texts)), min_value_count).fit()


class _Things:
    def __init__(self, texts: Sequence[str], min_value_count: int) -> None:
        self._min_names = max(min_value_count, MIN_SHARED_NAMES)
        names = [thing_tokens(text) for text in texts]
        counts = Counter(text for tokens in names for text in {token.text for token in tokens})
        public = frozenset() if min_value_count else public_words()
        self._words = {token for tokens in names for token in tokens if len(token.kind) > 1}
        shared = {w for w in counts if counts[w] >= self._min_names}
        usable = shared | {w for w in counts if w.casefold() in public}
        # In a column of few names, the words that some share are the only ones of their pattern.
        fewest = min(MIN_LITERAL_NAMES, len(names) // FEW_NAMES)
        common = max(self._min_names, fewest, LITERAL_SHARE * len(names))
        self._literals = {token.text for token in self._words if counts[token.text] >= common}
        function_words = _FUNCTION_WORDS.split()
        grammar = {token.text for token in self._words if token.text.casefold() in function_words}
        self._grammar = grammar & shared if min_value_count else grammar
        self._literals -= self._grammar
        self._leave_a_choice(names, counts)
        fixed = self._literals | self._grammar
        self._usable = {t for t in self._words if t.text in usable and t.text not in fixed}
        self._shared_numbers = {w for w in shared if w.isdigit()}
        fitting = [tokens for tokens in names if len(tokens) <= 2 * MAX_WORDS]
        self._names = list(filter(self._has_a_choice, fitting)) or fitting or names[:1]
        self._smallest_group = max(min_value_count, 2)
        self._coined: dict[str, Pool] = {}
        self._near: dict[tuple[str, str], set[str]] = defaultdict(set)
        for tokens in names:
            for i, token in enumerate(tokens):
                if token in self._usable:
                    self._near[token.kind, mark_before(tokens, i)].add(token.text)
        single = sum(len(tokens) == 1 for tokens in names)
        self._is_small = len(self._words) < MIN_OWN_WORDS
        places = sum(_PLACE.search(text) is not None for text in texts)
        patterned = sum(any(t.text in self._literals for t in tokens) for tokens in names)
        self._adds_places = False
        self._have_patterns = patterned >= MIN_PATTERNED * len(names)
        least = MIN_PLACES if single < MAX_SINGLE * len(names) else MIN_SINGLE_PLACES
        are_latin = any(not is_other(token.kind) for token in self._words)
        self._may_be_places = are_latin and self._is_small and places >= least * len(texts)

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
        words = {token.text for token in self._usable if token.kind == "title"}
        words |= {"New", "Old", "North", "South"}
        extra = tuple(f" {word}" for word in sorted(words - self._literals))
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
                choices.update(word for pool in varied for word in pool if word.isalnum())
                builder.add(slots, len(group) / total, len(slots), extra)
        if self._is_small and (capacity < len(set(self._names)) or len(choices) < MIN_CHOICES):
            return None
        return builder.build() if capacity else None

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
            chosen = random.Random(_SEED).sample(rest, min(len(rest), MAX_SHAPES - len(groups)))  # noqa: S311
            for tokens in chosen:
                groups.setdefault(self._shape(tokens, with_literals=True), []).append(tokens)
        return groups

    def _leave_a_choice(self, names: Sequence[Tokens], counts: Counter[str]) -> None:
        """Remove the rarest literal of each name of which all words are literals."""
        for tokens in names:
            words = [token.text for token in tokens if token.kind]
            literals = [word for word in words if word in self._literals]
            if literals and all(word in self._literals | self._grammar for word in words):
                self._literals.discard(min(literals, key=lambda word: (counts[word], word)))

    def _has_a_choice(self, tokens: Tokens) -> bool:
        """Return True unless the grammar of a name is the whole name, as of `It`."""
        return any(token.kind and token.text not in self._grammar for token in tokens)

    def _shape(self, tokens: Tokens, *, with_literals: bool) -> tuple[str, ...]:
        return tuple(
            token.text
            if not token.kind
            or token.text in self._grammar
            or (with_literals and token.text in self._literals)
            else f"<{token.kind}{len(token.text) if token.kind == '9' else ''}>"
            for token in tokens
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
            return self._numbers(column)
        here = {t.text for t in column if t in self._usable or t.text in self._literals}
        case = column[0].kind
        if case == INITIAL:
            return tuple(ascii_uppercase)
        is_single = sum(map(_is_free, shape)) == 1
        needed = MIN_SINGLE_POOL if is_single else MIN_POOL
        near = here | self._near[context]
        if needed == MIN_POOL and len(near) >= MIN_CONTEXT:
            here, needed = here if len(here) >= needed else near, MIN_CONTEXT
        if len(here) < needed:
            seen = {token.text for token in column}
            coined_only = len(shape) == 1 and len(here) < MIN_USABLE_SINGLE * len(seen)
            missing = needed - len(here)
            here.update(self._pool_of_case(case, missing, shape, coined_only=coined_only))
        pool = sorted(here) if len(here) >= MIN_CONTEXT else ()
        return tuple(random.Random(_SEED).sample(pool, min(len(pool), MAX_POOL)))  # noqa: S311

    def _pool_of_case(
        self, case: str, needed: int, shape: tuple[str, ...], *, coined_only: bool
    ) -> Pool:
        """Return usable words of a letter case, and coined ones if those are few.

        A column of few words does not show a spelling in which words could be coined: there may
        only be invented places next to the words of its patterns.
        """
        usable = sorted(token.text for token in self._usable if token.kind == case)
        usable = [] if coined_only else usable
        are_places = self._adds_places and any(part in self._literals for part in shape)
        are_places = case == "title" and (are_places or self._may_be_places)
        if self._is_small and not (is_other(case) or are_places):
            return tuple(usable)
        if is_other(case) and not self._has_cases(case):
            return tuple(usable)  # Chinese characters, for instance, do not spell words
        new = in_case(self._coin(case), case.removeprefix(OTHER_SCRIPT))
        coined = [word for word in new if word not in self._literals]
        pool = (*usable, *coined[: max(0, needed - len(usable))])
        return self._recombined(case, needed) if not pool and is_other(case) else pool

    def _has_cases(self, kind: str) -> bool:
        words = (token.text for token in self._words if token.kind == kind)
        return any(word.lower() != word.upper() for word in words)

    def _recombined(self, case: str, needed: int) -> Pool:
        """Return words of other letters of the column, such as Chinese ones, which are not coined.

        Where at least ten letters are in several words, there are no others.
        """
        words = sorted(token.text for token in self._words if token.kind == case)
        counts = Counter(letter for word in words for letter in set(word))
        shared = sorted(letter for letter, n in counts.items() if n >= self._min_names)
        letters = shared if len(shared) >= MIN_POOL else sorted(counts)
        rng = random.Random(_SEED)  # noqa: S311
        lengths = [len(rng.choice(words)) for _ in range(needed)]
        return tuple(dict.fromkeys("".join(rng.choices(letters, k=n)) for n in lengths))

    def _coin(self, case: str) -> Pool:
        """Return coined words that are as long as those of a letter case: acronyms are short."""
        if case not in self._coined and case == "title" and self._is_small:
            self._coined[case] = place_names()
        if not self._coined.get(case):
            same = [t for t in self._words if is_other(t.kind) == is_other(case)]
            words = {token.text for token in same}
            similar = {token.text for token in self._words if token.kind == case}
            if not case.endswith("upper"):
                similar = {word for word in similar if len(word) >= MIN_LETTERS}
            self._coined[case] = coin_words(
                words, sorted(public_words()), MIN_SINGLE_POOL, self._min_names, similar
            )
        return self._coined[case]

    def _numbers(self, column: tuple[Token, ...]) -> Pool:
        """Return numbers of the same length: years, numbers that names share, or any."""
        seen = sorted(int(token.text) for token in column)
        digits = len(column[0].text)
        margin = min(self._min_names - 1, (len(seen) - 1) // 2)
        if digits == 4 and seen[0] in _YEARS and seen[-1] in _YEARS:
            years = range(seen[margin], seen[-1 - margin] + 1)
            return tuple(map(str, years))
        shared = {token.text for token in column} & self._shared_numbers
        if 2 * sum(token.text in shared for token in column) >= len(column):
            return tuple(sorted(shared))
        low = 0 if any(token.text[0] == "0" for token in column) else 10 ** (digits - 1)
        numbers = range(low if digits > 1 else 0, 10**digits)
        chosen = random.Random(_SEED).sample(numbers, min(len(numbers), MAX_POOL))  # noqa: S311
        return tuple(f"{number:0{digits}}" for number in sorted(chosen))


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
