"""Numbered names, such as `Team 31`, for columns whose words do not suffice for new names."""

import re
from collections.abc import Sequence

from models.tabular.identifiers.templates import Counter
from models.tabular.identifiers.words.word_letters import MARKS
from models.tabular.identifiers.words.words import case_of, in_case

_WORD = re.compile(rf"[A-Z]+(?![a-z])|[^\W\d_]?(?:[^\W\d_A-Z]|[{MARKS}])+|[^\W\d_]+")
_GENERIC = frozenset(["column", "id", "label", "name", "names", "title"])  # if there are others
_UNNAMED = re.compile(r"(?i)unnamed\b.*|column_\d+|")  # as programs name columns without a name
_UNCHANGED = re.compile(r"(?i).*(?:species|series)")
MAX_WORDS = 3
OTHER_NAME = "item"


def numbered_names(name: str, texts: Sequence[str]) -> Counter:
    """Return the names that consist of the column's name and numbers after those of its rows."""
    words = [OTHER_NAME] if _UNNAMED.fullmatch(name) else _WORD.findall(name)
    specific = [word for word in words if word.casefold() not in _GENERIC] or words[-1:]
    label = " ".join(specific[:MAX_WORDS]) if name.casefold() not in _GENERIC else name
    cases = [case_of(text) for text in texts if text[:1].lower() != text[:1].upper()]
    case = max(sorted(set(cases)), key=cases.count, default="title")
    label = _singular(label) or OTHER_NAME
    cased = in_case([label], case)[0] if case != "title" else label[:1].upper() + label[1:]
    return Counter(len(texts) + 1, ends=((f"{cased} ", "", 1.0),))


def _singular(label: str) -> str:
    """Return the name of one of the teams, countries or species."""
    if _UNCHANGED.fullmatch(label):
        return label
    label = re.sub(r"(?<=\w{3})ies$", "y", label)
    return re.sub(r"(?<=[^\Ws]{3})s$", "", label)
