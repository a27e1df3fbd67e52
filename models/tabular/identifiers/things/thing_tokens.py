"""Words, numbers and marks of the names of things.

The kind of a word is its letter case. Words without Latin letters have kinds of their own, so that
no name has letters of two scripts.
"""

import re
from itertools import pairwise

from models.tabular.identifiers.tokens import Token, Tokens
from models.tabular.identifiers.words.word_letters import WORD
from models.tabular.identifiers.words.words import case_of

OTHER_SCRIPT = "other-"  # before the letter case, in the kind of a word without Latin letters
INITIAL = "initial"  # kind of a single letter before a full stop
_SUFFIXES = ("Jr", "Sr")  # of people after whom things are named
_WORDS = re.compile(rf"{WORD}(?:['\u2019]{WORD})*|[0-9]+|.", re.DOTALL)


def thing_tokens(text: str) -> Tokens:
    """Split a name into words, whose kind is their letter case, numbers and marks."""
    parts = _WORDS.findall(text)
    is_initial = [len(a) == 1 and a.isupper() and b == "." for a, b in pairwise([*parts, ""])]
    kinds = (
        INITIAL
        if initial
        else _word_kind(part)
        if part[0].isalpha() and part not in _SUFFIXES
        else "9"
        if part.isdigit()
        else ""
        for part, initial in zip(parts, is_initial, strict=True)
    )
    return tuple(Token(part, kind) for part, kind in zip(parts, kinds, strict=True))


def mark_before(tokens: Tokens, index: int) -> str:
    """Return the mark before a word, such as a comma; "" for the first, a blank for other words."""
    before = [token for token in tokens[:index][-2:] if token.text != " "]
    if not index or not before:
        return " " if index else ""
    return " " if before[-1].kind else before[-1].text


def _word_kind(word: str) -> str:
    case = case_of(word)
    return case if any(c < "\u0250" for c in word) else OTHER_SCRIPT + case


def is_other(kind: str) -> bool:
    """Return True for the kind of a word without Latin letters."""
    return kind.startswith(OTHER_SCRIPT)
