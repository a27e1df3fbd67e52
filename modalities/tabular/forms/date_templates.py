"""Templates of dates without a time, which become formats by the texts of a column.

A letter of a template is a directive: `d e Y` becomes `%-d %B %Y` for `1 June 2024`, and
`[de]%d %b %Y` for `01 Okt 2024`. `e` is the name of a month and `w` that of a weekday; `Q`, `W` and
`M` are the letters themselves.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from modalities.tabular.forms.fit import MIN_FIT_FRACTION
from modalities.tabular.forms.moments import PERSIAN
from models.tabular.calendar_names import LANGUAGES

# In order of preference: the day comes before the month, as in most countries.
DATES = (
    *(f"{a}{s}{b}{s}{c}" for s in "-/." for a, b, c in ("Ymd", "dmY", "mdY", "dmy", "mdy", "ymd")),
    "d e Y", "d. e Y", "d-e-Y", "d-e-y", "d e y", "d/e/Y", "d/e/y",
    "d.e.Y", "deY", "e d, Y", "e d Y",
    "Y-e-d", "Y e d", "w, d e Y", "w, e d, Y", "w e d Y", "w, d. e Y", "w d e Y", "e. d, Y",
    "d de e de Y", "d e, Y", "Y m d", "d m Y", "w d/m/Y", "w m/d/Y", "w, Y-m-d", "w Y-m-d",
    "w, m/d/Y", "w, d/m/Y", "w d.m.Y", "w, d.m.Y", "do e Y", "e do, Y", "e do Y", "w, e do, Y",
    "w do e Y", "w, do e Y", "do e, Y", "Y.m.d.", "d.m.Y.", "d. m. Y", "d. m. Y.", "Y. m. d.",
    "Y. m. d", "Y. e d.", "d e Y \u0433.", "Y\u5e74m\u6708d\u65e5", "Y\ub144 m\uc6d4 d\uc77c",
)  # fmt: skip
PERIODS = (
    "Y-m", "Y/m", "m/Y", "m-Y", "m.Y", "Y.m", "Y m", "e Y", "e-Y", "e-y", "e y", "Y-e", "Y e",
    "e/Y", "e/y", "e, Y", "eY", "YMm",
    "YQq", "Y-Qq", "Y Qq", "Y_Qq", "Y/Qq", "Qq Y", "Qq-Y", "Qq/Y", "QqY", "Qq y", "Qq-y", "Qq'y",
    "Y-q Q", "qQY", "qQy", "qQ Y", "q. Quartal Y", "Y:Qq", "YqQ",
    "G-WV", "GWV", "G WV", "WV G", "WV-G", "WV/G",
)  # fmt: skip
# Days without a year.
DAYS = (
    "e d", "d e", "e do", "do e", "e-d", "d-e", "e. d", "d. e", "d de e", "d/e", "w, e d", "w, d e",
    "w d e", "w e d", "w, d. e", "w, e do", "w do e",
)  # fmt: skip
PADDED_DAYS = ("m/d", "d/m", "m-d", "d.m.")
_PERSIAN_YEARS = frozenset(map(str, range(1300, 1451)))  # 1921 to 2072 of the Gregorian calendar


@lru_cache(maxsize=256)
def template_pattern(template: str) -> re.Pattern[str]:
    patterns = {
        "Y": r"(?P<Y>\d{4})", "G": r"(?P<G>\d{4})", "y": r"(?P<y>\d{2})", "V": r"(?P<V>\d{2})",
        "m": r"(?P<m>\d{1,2})", "d": r"(?P<d> ?\d{1,2})", "q": r"(?P<q>[1-4])",
        "e": r"(?P<e>[^\W\d_]{3,12}\.?)", "w": r"(?P<w>[^\W\d_]{2,12}\.?)",
        "o": r"(?:(?i:st|nd|rd|th))",
    }  # fmt: skip
    if template.startswith(("YMm", "Ym")):
        patterns["m"] = r"(?P<m>\d{2})"
    return re.compile("".join(patterns.get(t, re.escape(t)) for t in _tokens(template)))


def _tokens(template: str) -> list[str]:
    return re.findall(r" de | de|Quartal|Y|.", template)


def formats_of_template(template: str, pattern: re.Pattern[str], texts: Sequence[str]) -> list[str]:
    """Return the formats of a template: padding, language and letter case as in the texts.

    `pattern` is that of the template. There are two formats if years may be those of the Persian
    calendar, and none if no language has the names.
    """
    matches = [match for match in map(pattern.fullmatch, texts) if match is not None]
    fields = pattern.groupindex
    numbers = {name: [match[name] for match in matches] for name in "md" if name in fields}
    named = {
        name: _name_directives([match[name] for match in matches], pair)
        for name, pair in (("e", "Bb"), ("w", "Aa"))
        if name in fields
    }
    fitting = {
        language: sum(directives[language].names for directives in named.values())
        for language in LANGUAGES
        if all(language in directives for directives in named.values())
    }
    if not fitting:
        return []
    language = max(fitting, key=fitting.__getitem__)
    directives = {name: f"%{name}" for name in "YGyVqo"} | _number_directives(numbers)
    directives |= {name: each[language].directive for name, each in named.items()}
    body = "".join(directives.get(token, token) for token in _tokens(template))
    format = f"[{language}]{body}" if language else body
    if "Y" in fields and not named and all(match["Y"] in _PERSIAN_YEARS for match in matches):
        return [f"[{PERSIAN}]{format}", format]
    return [format]


def _number_directives(numbers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the directives of the days and months, padded as the texts are."""
    # A day or month without small numbers is padded like the other.
    default = all(map(are_padded, numbers.values()))
    directives = {}
    for name, texts in numbers.items():
        if any(text[0] == " " for text in texts):
            flag = "_"
        else:
            flag = "" if are_padded(texts, default=default) else "-"
        directives[name] = f"%{flag}{name}"
    return directives


def are_padded(numbers: Sequence[str], *, default: bool = True) -> bool:
    """Return True if small numbers have a leading zero; `default` if there are none."""
    single = sum(len(number) == 1 for number in numbers)
    double = sum(number.startswith("0") and len(number) == 2 for number in numbers)
    return default if single == double == 0 else single <= double


class _NameDirective(NamedTuple):
    directive: str
    names: int  # texts that are names of the language


def _name_directives(texts: Sequence[str], pair: str) -> dict[str, _NameDirective]:
    """Return the directive of most texts, in each language that has it.

    `pair` are the letters of long and of short names.
    """
    directives = {}
    lower = Counter(text.lower() for text in texts)
    is_upper = all(text == text.upper() for text in texts)
    is_lower = all(text == text.lower() for text in texts)
    is_title = all(text == text.capitalize() for text in texts)
    for language, names in LANGUAGES.items():
        lists = (names.months, names.short_months) if pair == "Bb" else (
            names.weekdays, names.short_weekdays
        )  # fmt: skip
        for letter, each in zip(pair, lists, strict=True):
            names_in_lower_case = {name.lower() for name in each}
            count = sum(n for text, n in lower.items() if text in names_in_lower_case)
            if count < MIN_FIT_FRACTION * len(texts):
                continue
            flag = "^" if is_upper and each[0] != each[0].upper() else ""
            flag = "#" if is_lower and each[0] != each[0].lower() else flag
            flag = "~" if is_title and each[0] != each[0].capitalize() else flag
            directives[language] = _NameDirective(f"%{flag}{letter}", count)
            break
    return directives
