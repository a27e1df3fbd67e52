"""Names of people in Chinese, Japanese and Korean characters: the family name, then the given one.

There is often no blank between them, so that a list of family names shows where given ones begin.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from models.tabular.identifiers.templates import Pool, TemplateBuilder, TemplateSet
from models.tabular.identifiers.tokens import MIN_SHAPE_FRACTION
from models.tabular.identifiers.words.library_words import names

_HAN = "\u3400-\u9fff\u3005"
_KANA, _HANGUL = "\u3041-\u30fe", "\uac00-\ud7a3"
_NAME = re.compile(
    rf"[{_HAN}]{{1,3}}?[ \u3000]?[{_HAN}{_KANA}]{{1,3}}"
    rf"|[{_HANGUL}]{{1,2}}?[ \u3000]?[{_HANGUL}]{{1,3}}"
)
_BLANK = re.compile(r"[ \u3000]")
MIN_GIVEN = 5  # given names of one length, and that no text has as far as possible
_LOCALES = ("zh_CN", "zh_TW", "ja_JP", "ko_KR")

Parts = tuple[str, str, str]  # family name, blank or nothing, given name


@lru_cache(maxsize=4)
def _families(locale: str) -> frozenset[str]:
    return frozenset(names(locale)[1])


def _split(text: str, locale: str) -> Parts | None:
    """Return the parts of a name; None if its family name is not in the list."""
    if _NAME.fullmatch(text) is None:
        return None
    if (blank := _BLANK.search(text)) is not None:
        family, given = _BLANK.split(text)
        return (family, blank[0], given) if family in _families(locale) else None
    for length in (3, 2, 1):
        if length < len(text) and text[:length] in _families(locale):
            return text[:length], "", text[length:]
    return None


def best_locale(texts: Sequence[str]) -> tuple[str, float]:
    """Return the locale with the most family names, and the share of the texts that have one."""
    shares = {
        locale: sum(_split(text, locale) is not None for text in texts) / max(1, len(texts))
        for locale in _LOCALES
        if any(_NAME.fullmatch(text) for text in texts)
    }
    return max(shares.items(), key=lambda item: item[1], default=(_LOCALES[0], 0.0))


def fit_east_asian_names(
    texts: Sequence[str], locale: str, min_value_count: int
) -> TemplateSet | None:
    """Return templates of other names with as many characters; None if no name is listed."""
    parts = [each for text in texts if (each := _split(text, locale)) is not None]
    shapes = Counter((len(family), blank, len(given)) for family, blank, given in parts)
    least = max(min_value_count, 2, MIN_SHAPE_FRACTION * len(parts))
    seen = {given for _, _, given in parts}
    common = [(shape, n) for shape, n in shapes.items() if n >= least]
    known_given, known_families = names(locale)
    unseen = [name for name in known_given if name not in seen]
    extra: Pool = tuple(dict.fromkeys(name[-1] for name in known_given))
    builder = TemplateBuilder()
    for pool in (unseen, known_given):
        for (family_length, blank, length), count in common:
            families = tuple(name for name in known_families if len(name) == family_length)
            given = tuple(name for name in pool if len(name) == length)
            if len(given) >= MIN_GIVEN:
                builder.add([families, (blank,), given], float(count), 3, extra)
        templates = builder.build()
        if templates.templates:
            return templates
    return None
