"""Texts from outside: which characters names may have."""

import re
import unicodedata

# Cc control, Cf format (direction, zero width), Cs surrogates, Zl and Zp line ends
_NOT_IN_NAMES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Values of customers may have line ends, tabs and marks of direction.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def has_control_characters(text: str) -> bool:
    """Return True if a text has characters that neither names nor values may have."""
    return _CONTROL.search(text) is not None


def is_name(text: str) -> bool:
    """Return True if a text has no control or direction characters and no line ends."""
    return not any(unicodedata.category(character) in _NOT_IN_NAMES for character in text)


def clean_name(text: str) -> str:
    """Return the text with `_` in place of characters that names do not have."""
    return "".join(
        "_" if unicodedata.category(character) in _NOT_IN_NAMES else character for character in text
    )
