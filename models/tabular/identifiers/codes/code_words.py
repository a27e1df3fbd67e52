"""Words that stay within codes, such as EVERY 2 WEEKS and `24103 Kiel`."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from models.tabular.identifiers.people.person_names import name_locale, name_share
from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import (
    MIN_SHARED_COUNT,
    MIN_SHARED_FRACTION,
    MIN_WORD_COVERAGE,
    Token,
    Tokens,
    code_tokens,
)

MIN_SHARED_WORD = 3  # texts that must share a word that stays
MIN_PEOPLE, MIN_NAMES = 0.6, 5  # share of the words that are names of people, and their number
MIN_NAME_CHARS = 3
_TITLE_WORD = re.compile(r"(?<![^\W_])[A-Z\u00c0-\u00de][a-z\u00df-\u00ff]{2,}(?![^\W_])")
_PLACEHOLDER = "\ue000"  # a character of private use


def shared_words(texts: Sequence[Tokens], min_value_count: int) -> frozenset[str]:
    """Return the parts of the words of phrases, such as EVERY 2 WEEKS, that enough texts share.

    A word, such as mL, has no digits next to it, as a part of a code has.
    """
    counts: Counter[Tokens] = Counter()
    for tokens in texts:
        if any(token.text == " " for token in tokens):
            runs = groupby(tokens, key=lambda token: bool(token.kind))
            words = (tuple(run) for is_alphanumeric, run in runs if is_alphanumeric)
            counts.update({word for word in words if all(token.kind in "Aa" for token in word)})
    least = _min_shared(["".join(t.text for t in word) for word in counts], texts, min_value_count)
    return frozenset(token.text for word, n in counts.items() if n >= least for token in word)


def title_word_tokens(
    texts: Sequence[str], min_value_count: int
) -> tuple[list[Tokens], dict[str, Pool]] | None:
    """Return the tokens of codes with words such as Kiel in `24103 Kiel`, and the words that stay.

    Return None if most of these words are not shared by enough texts.
    """
    words = [_TITLE_WORD.findall(text) for text in texts]
    counts = Counter(word for each in words for word in set(each))
    least = _min_shared([*counts], texts, min_value_count)
    shared = tuple(sorted(word for word, n in counts.items() if n >= least))
    is_covered = sum(counts[word] for word in shared) > MIN_WORD_COVERAGE * counts.total()
    if not is_covered or any(_PLACEHOLDER in text for text in texts):
        return None
    codes = code_tokens([_TITLE_WORD.sub(_PLACEHOLDER, text) for text in texts])
    tokens = []
    for code, each in zip(codes, words, strict=True):
        rest = iter(each)
        tokens.append(
            tuple(Token(next(rest), "word") if t.text == _PLACEHOLDER else t for t in code)
        )
    return tokens, {"word": shared}


def _min_shared(words: Sequence[str], texts: Sequence[object], min_value_count: int) -> float:
    """Return in how many of the texts a word must be that stays.

    As many as any part of a code if most words are names of people, whom a rare one identifies.
    """
    names = [word for word in words if len(word) >= MIN_NAME_CHARS]
    share = name_share(names, name_locale(names))
    if share < MIN_PEOPLE or share * len(names) < MIN_NAMES:
        return max(MIN_SHARED_WORD, min_value_count)
    return max(MIN_SHARED_COUNT, MIN_SHARED_FRACTION * len(texts), min_value_count)
