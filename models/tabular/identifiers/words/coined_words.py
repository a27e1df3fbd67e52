"""Coined words, which are spelled like those of a column.

Letters follow each other only as in several words (a Markov chain of letters), so no word that a
single row has can be recognized in a coined one.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache

ORDER = 3  # letters that determine the next one
MAX_PUBLIC = 2_000  # public words that support what few words of a column show
OWN_WEIGHT = 20  # of a word of the column; a public word counts 1
MIN_LETTERS = 4  # of the words that show the usual lengths
_START, _END = "\x02", "\x03"
_ATTEMPTS = 5  # per word
_SEED = 0


def coin_words(
    words: Collection[str],
    public: Sequence[str],
    count: int,
    min_support: int,
    similar: Collection[str] = (),
) -> tuple[str, ...]:
    """Return up to `count` different new words in lower case, none of which is in `words`.

    A letter follows others only if it does in at least `min_support` of the words. The new words
    are as long as those of `similar`, or else of `words`.
    """
    rng = random.Random(_SEED)  # noqa: S311
    known = sorted({word.lower() for word in words})
    is_latin = any(word.isascii() for word in known)
    plain = [word for word in public if word.isascii() == is_latin]
    support = rng.sample(plain, min(len(plain), MAX_PUBLIC))
    lengths = sorted(map(len, similar or known)) or [5]
    if not similar:
        lengths = [n for n in lengths if n >= MIN_LETTERS] or lengths
    shortest = max(2, lengths[len(lengths) // 20])
    longest = max(shortest + 1, lengths[-1 - len(lengths) // 20])
    coined: dict[str, None] = {}
    for order in range(ORDER, 0, -1):  # a column of few words has few new ones of the full order
        chain = _chain(known, support, order, min_support)
        for _ in range(_ATTEMPTS * count):
            if len(coined) == count:
                break
            word = _walk(chain, order, longest, rng)
            if shortest <= len(word) and word not in known:
                coined[word] = None
    return tuple(coined)


_NONE: Counter[str] = Counter()
_Chain = dict[str, tuple[list[str], list[int]]]


def _chain(words: Sequence[str], public: Sequence[str], order: int, min_support: int) -> _Chain:
    """Return the letters that follow each context of up to `order` letters, and their weights."""
    own, others = _followers(tuple(words), order), _followers(tuple(public), order)
    chain = {}
    for context in sorted(own):
        kept = {
            letter: OWN_WEIGHT * n + others.get(context, _NONE)[letter]
            for letter, n in sorted(own[context].items())
            if n + others.get(context, _NONE)[letter] >= min_support
        }
        if kept:
            chain[context] = list(kept), list(kept.values())
    return chain


@lru_cache(maxsize=8)
def _followers(words: tuple[str, ...], order: int) -> dict[str, Counter[str]]:
    """Return in how many words each letter follows each context."""
    followers: dict[str, Counter[str]] = defaultdict(Counter)
    for word in words:
        padded = _START * order + word + _END
        seen = {
            (padded[i - n : i], padded[i])
            for i in range(order, len(padded))
            for n in range(order + 1)
        }
        for context, letter in seen:
            followers[context][letter] += 1
    return followers


def _walk(chain: _Chain, order: int, longest: int, rng: random.Random) -> str:
    word = ""
    while len(word) <= longest:
        context = (_START * order + word)[-order:]
        while context not in chain:
            if not context:
                return ""
            context = context[1:]
        letters, counts = chain[context]
        letter = rng.choices(letters, counts)[0]
        if letter == _END:
            return word
        word += letter
    return ""
