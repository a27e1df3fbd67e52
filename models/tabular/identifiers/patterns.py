"""Patterns of the kinds of identifiers that have a form of their own."""

import re

PATTERNS = {
    "url": r"(?:https?://|www\.)\S+|(?=.*[^\W\d_]{2})(?:/[^\s/]*)+",
    "uuid": r"\{?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?",
    "email": r"[^\s@,;]+@[^\s@,;]+\.[^\W\d_]{2,}",
    "ip": r"(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}",
    "iban": r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?",
}
_ONE_PHONE = r"\+?(?:[ ()./-]*\d){7,15}"
PHONE = rf"{_ONE_PHONE}(?: ?[|;,] ?{_ONE_PHONE})*"
# Names of firms and other organizations, by a word that names of people lack.
FIRM = re.compile(
    r"(?i).*\b(?:inc|ltd|llc|llp|lp|plc|corp|corporation|co|company|companies|gmbh|"
    r"(?-i:AG|KG|SA)|s\.a|s\.?r\.?l|b\.?v|pty|group|holdings?|association|society|cooperative|coop|trust|foundation|"
    r"partners|bank|services|industries|enterprises?|farms?|estates?|university|department|"
    r"limited|union|council|club|committee)\b.*"
)
IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}"


def pattern_of(kind: str | None) -> re.Pattern[str] | None:
    """Return the pattern of a kind; None for kinds that consist of words, and for codes."""
    pattern = PHONE if kind == "phone" else PATTERNS.get(kind or "")
    return None if pattern is None else re.compile(pattern, re.DOTALL)
