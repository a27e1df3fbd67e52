"""Words, web addresses and e-mail addresses of identifiers, and pools of words for new ones.

The pools are stored in the model, so samples do not depend on the version of the library.
"""

import re
import unicodedata
from collections.abc import Iterable

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import NAME_KINDS, Token, Tokens
from models.tabular.identifiers.words.library_words import drawn, names
from models.tabular.identifiers.words.word_letters import WORD_PATTERN, WORDS_AND_MARKS

EXAMPLE_DOMAINS = ("example.com", "example.net", "example.org")  # RFC 2606


def word_tokens(text: str) -> Tokens:
    """Split words; the class of a word is its letter case and its length, in three groups."""
    return tuple(
        Token(part, f"{case_of(part)}-{_length_group(part)}")
        if len(part) > 1 and WORD_PATTERN.match(part)
        else Token(part, "9" if part.isdigit() else _letter_kind(part))
        for part in WORDS_AND_MARKS.findall(text)
    )


def word_pools() -> dict[str, Pool]:
    words = drawn("en_US", "word")
    pools: dict[str, Pool] = {}
    for group in range(3):
        members = tuple(word for word in words if _length_group(word) == group and len(word) > 1)
        for case in ("upper", "lower", "title"):
            pools[f"{case}-{group}"] = in_case(members, case)
    return pools


def url_tokens(text: str) -> Tokens:
    """Split a web address into words and codes."""
    return tuple(
        Token(part, f"{case_of(part)}-{_length_group(part)}" if len(part) > 1 else "")
        if part.isalpha() and (part.islower() or part.istitle())
        else Token(part, _code_kind(part) if part.isascii() and part.isalnum() else "")
        for part in re.findall(r"[A-Za-z0-9]+|.", text, re.DOTALL)
    )


def _code_kind(part: str) -> str:
    if part.isdigit():
        return "9"
    if part.isalpha() and part.isupper():
        return "A"
    return "X" if part.isupper() else "x" if part.islower() else "*"


def email_tokens(text: str) -> Tokens:
    """Split an e-mail address; its domain is one token."""
    local, _, domain = text.rpartition("@")
    tokens: list[Token] = []
    for part in re.findall(r"[A-Za-z]{2,}|[0-9]+|.", local):
        if len(part) > 1 and not part.isdigit():
            kind = "last" if any(token.kind.startswith("first") for token in tokens) else "first"
            tokens.append(Token(part, f"{kind}-{case_of(part)}"))
        else:
            tokens.append(Token(part, "9" if part.isdigit() else _letter_kind(part)))
    return (*tokens, Token("@", ""), Token(domain, "domain"))


def email_pools() -> dict[str, Pool]:
    pools = {
        f"{kind}-{case}": in_case(in_ascii(pool), case)
        for kind, pool in zip(NAME_KINDS, names("en_US"), strict=True)
        for case in ("upper", "lower", "title")
    }
    return {**pools, "domain": EXAMPLE_DOMAINS}


def case_of(word: str) -> str:
    if word.isupper():
        return "upper"
    return "title" if word[:1].isupper() else "lower"


def in_case(pool: Iterable[str], case: str) -> Pool:
    if case == "title":
        return tuple(dict.fromkeys(word[:1].upper() + word[1:] for word in pool))
    return tuple(dict.fromkeys(word.upper() if case == "upper" else word.lower() for word in pool))


def in_ascii(pool: Pool) -> Pool:
    decomposed = (unicodedata.normalize("NFKD", word) for word in pool)
    plain = (word.encode("ascii", "ignore").decode() for word in decomposed)
    return tuple(dict.fromkeys(word for word in plain if len(word) > 1))


def _length_group(word: str) -> int:
    return 0 if len(word) <= 4 else 1 if len(word) <= 7 else 2


def _letter_kind(part: str) -> str:
    if part.isascii() and part.isalpha():
        return "A" if part.isupper() else "a"
    return ""
