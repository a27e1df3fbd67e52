"""Words that new names of things may have: those of a column, public ones, and coined ones.

A word stays if at least MIN_SHARED_NAMES names have it (the minimum frequency rule of Hundepool et
al., Statistical Disclosure Control, 2012) or if it is a public one. All other words, which could be
the name of a person, are replaced by words of the first two kinds, or by coined ones.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.things.thing_tokens import OTHER_SCRIPT, is_other, mark_before
from models.tabular.identifiers.tokens import Token, Tokens
from models.tabular.identifiers.words.coined_words import MIN_LETTERS, coin_words
from models.tabular.identifiers.words.library_words import place_names
from models.tabular.identifiers.words.public_words import public_words
from models.tabular.identifiers.words.word_letters import MARKS, script_of
from models.tabular.identifiers.words.words import in_case

MIN_SHARED_NAMES = 3
LITERAL_SHARE = 0.04  # of the names; a word of more is part of templates, such as "of the"
MIN_LITERAL_NAMES, FEW_NAMES = 10, 8  # and at most one of so many names
MIN_OWN_WORDS = 300  # different words that show a spelling
MIN_POOL, MAX_POOL = 10, 1_000
MIN_SINGLE_POOL = 800  # of names of one word
# Words of the grammar of a name, which identify nobody and keep their places in it.
_FUNCTION_WORDS = (
    "a an and are as at be but by do for from has have i if in into is it me my no not of on or "
    "our re so that the their this to up us was we were what when who with you your aan als am "
    "auf aus bei bis das dem den der des die ein eine er es et het im ist mit nach oder op over "
    "sich sie te uit und van vom von vor wir zu zum zur al au aux avec ce con da de del dell "
    "della delle dello di dos du e el en est gli il la las le les lo los mi mon na nel o para "
    "par por pour que qui se sur u un una une uno y "
)
_UNSPELLED = ("CJK", "HANGUL", "HIRAGANA", "KATAKANA")  # scripts of whole words or syllables
_MARKED_LETTER = re.compile(rf".[{MARKS}]*")
_YEARS = range(1500, 2200)
SEED = 0  # of the choice of pools


class ThingWords:
    """The words of a column of names, by what becomes of them in new names.

    `literals` and `grammar` keep their places in templates, `usable` words may take the place of
    any word of their kind, and all others are left out. `near` has the usable words by their kind
    and the mark before them. A column that `is_small` does not show a spelling.
    """

    def __init__(self, names: Sequence[Tokens], min_value_count: int) -> None:
        self.min_names = max(min_value_count, MIN_SHARED_NAMES)
        counts = Counter(text for tokens in names for text in {token.text for token in tokens})
        self._words = {token for tokens in names for token in tokens if len(token.kind) > 1}
        self.is_small = len(self._words) < MIN_OWN_WORDS
        self.are_latin = any(not is_other(token.kind) for token in self._words)
        shared = {w for w in counts if counts[w] >= self.min_names}
        function_words = _FUNCTION_WORDS.split()
        grammar = {token.text for token in self._words if token.text.casefold() in function_words}
        self.grammar = grammar & shared if min_value_count else grammar
        # In a column of few names, the words that some share are the only ones of their pattern.
        fewest = min(MIN_LITERAL_NAMES, len(names) // FEW_NAMES)
        common = max(self.min_names, fewest, LITERAL_SHARE * len(names))
        self.literals = {token.text for token in self._words if counts[token.text] >= common}
        self.literals -= self.grammar
        self._leave_a_choice(names, counts)
        public = frozenset() if min_value_count else public_words()
        kept = shared | {w for w in counts if w.casefold() in public}
        kept -= self.literals | self.grammar
        self.usable = {token for token in self._words if token.text in kept}
        self._shared_numbers = {w for w in shared if w.isdigit()}
        self.near: dict[tuple[str, str], set[str]] = defaultdict(set)
        for tokens in names:
            for i, token in enumerate(tokens):
                if token in self.usable:
                    self.near[token.kind, mark_before(tokens, i)].add(token.text)
        self._coined: dict[str, Pool] = {}

    def _leave_a_choice(self, names: Sequence[Tokens], counts: Counter[str]) -> None:
        """Remove the rarest literal of each name of which all words are literals."""
        for tokens in names:
            words = [token.text for token in tokens if token.kind]
            literals = [word for word in words if word in self.literals]
            if literals and all(word in self.literals | self.grammar for word in words):
                self.literals.discard(min(literals, key=lambda word: (counts[word], word)))

    def has_a_choice(self, tokens: Tokens) -> bool:
        """Return True unless the grammar of a name is the whole name, as of `It`."""
        return any(token.kind and token.text not in self.grammar for token in tokens)

    def pool(self, case: str, needed: int, *, are_places: bool, coined_only: bool) -> Pool:
        """Return usable words of a letter case, and coined ones if those are few.

        A column of few words does not show a spelling in which words could be coined: there may
        only be invented places, with `are_places`.
        """
        usable = sorted(token.text for token in self.usable if token.kind == case)
        usable = [] if coined_only else usable
        if self.is_small and not (is_other(case) or are_places):
            return tuple(usable)
        if is_other(case) and not self._are_spelled(case):
            return tuple(usable)
        new = in_case(self._coin(case), case.removeprefix(OTHER_SCRIPT))
        coined = [word for word in new if word not in self.literals]
        pool = (*usable, *coined[: max(0, needed - len(usable))])
        return self._recombined(case, needed) if not pool and is_other(case) else pool

    def _are_spelled(self, kind: str) -> bool:
        """Return True if most words of a kind have letters for sounds."""
        scripts = Counter(script_of(token.text) for token in self._words if token.kind == kind)
        return not scripts or scripts.most_common(1)[0][0] not in _UNSPELLED

    def _recombined(self, case: str, needed: int) -> Pool:
        """Return words of other letters of the column, with their marks.

        Where at least ten letters are in several words, there are no others.
        """
        words = sorted(token.text for token in self._words if token.kind == case)
        letters_of = [_MARKED_LETTER.findall(word) for word in words]
        counts = Counter(letter for each in letters_of for letter in set(each))
        shared = sorted(letter for letter, n in counts.items() if n >= self.min_names)
        letters = shared if len(shared) >= MIN_POOL else sorted(counts)
        rng = random.Random(SEED)  # noqa: S311
        lengths = [len(rng.choice(letters_of)) for _ in range(needed)]
        return tuple(dict.fromkeys("".join(rng.choices(letters, k=n)) for n in lengths))

    def _coin(self, case: str) -> Pool:
        """Return coined words that are as long as those of a letter case: acronyms are short."""
        if case not in self._coined and case == "title" and self.is_small:
            self._coined[case] = place_names()
        if not self._coined.get(case):
            same = [t for t in self._words if is_other(t.kind) == is_other(case)]
            words = {token.text for token in same}
            similar = {token.text for token in self._words if token.kind == case}
            if not case.endswith("upper"):
                similar = {word for word in similar if len(word) >= MIN_LETTERS}
            self._coined[case] = coin_words(
                words, sorted(public_words()), MIN_SINGLE_POOL, self.min_names, similar
            )
        return self._coined[case]

    def numbers(self, column: tuple[Token, ...]) -> Pool:
        """Return numbers of the same length: years, numbers that names share, or any."""
        seen = sorted(int(token.text) for token in column)
        digits = len(column[0].text)
        margin = min(self.min_names - 1, (len(seen) - 1) // 2)
        if digits == 4 and seen[0] in _YEARS and seen[-1] in _YEARS:
            years = range(seen[margin], seen[-1 - margin] + 1)
            return tuple(map(str, years))
        shared = {token.text for token in column} & self._shared_numbers
        if 2 * sum(token.text in shared for token in column) >= len(column):
            return tuple(sorted(shared))
        low = 0 if any(token.text[0] == "0" for token in column) else 10 ** (digits - 1)
        numbers = range(low if digits > 1 else 0, 10**digits)
        chosen = random.Random(SEED).sample(numbers, min(len(numbers), MAX_POOL))  # noqa: S311
        return tuple(f"{number:0{digits}}" for number in sorted(chosen))
