"""Recognition of categories with an order, such as sizes, ratings, age bands and school degrees."""

import re
from collections.abc import Sequence

MIN_VALUES, MAX_VALUES = 3, 24
MIN_BANDS, MIN_BAND_SHARE, MIN_FOLLOWING = 3, 0.15, 0.7
MAX_GROUPS = 200
MAX_WORDED_SYMBOLS = 0.05  # share of symbols with letters or digits
MAX_FORMAT_CHARS = 64  # the order is the format of the column

# Words in ascending order, in lower case. A column needs at least MIN_VALUES of one scale.
_SCALES = tuple(
    tuple(scale.split("|"))
    for scale in (
        "xxs|xs|s|m|l|xl|xxl|xxxl|3xl|4xl|5xl",
        "extra small|small|medium|large|extra large|xlarge|jumbo",
        "very low|low|moderate|medium|high|very high|critical",
        "none|minimal|mild|moderate|severe|very severe|critical",
        "strongly disagree|disagree|somewhat disagree|neutral|neither agree nor disagree|"
        "somewhat agree|agree|strongly agree",
        "very dissatisfied|dissatisfied|neutral|satisfied|very satisfied",
        "very unlikely|unlikely|neutral|likely|very likely",
        "never|rarely|seldom|sometimes|often|usually|very often|always",
        "very poor|poor|fair|average|good|very good|excellent|outstanding",
        "very bad|bad|ok|good|very good",
        "fair|good|very good|premium|ideal",
        "easy|medium|hard|very hard",
        "beginner|elementary|intermediate|advanced|expert",
        "trainee|junior|mid|senior|lead|principal",
        "bronze|silver|gold|platinum|diamond",
        "primary|secondary|tertiary",
        "no education|primary|secondary|high school|some college|associate|bachelor|bachelors|"
        "master|masters|doctorate|phd",
        "kindergarten|elementary|middle school|high school|college|university",
        "freshman|sophomore|junior|senior",
        "first|second|third|fourth|fifth|sixth",
        "i|ii|iii|iv|v|vi|vii|viii|ix|x",
        "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
        "mon|tue|wed|thu|fri|sat|sun",
        "january|february|march|april|may|june|july|august|september|october|november|december",
        "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec",
        "sehr schlecht|schlecht|mittel|gut|sehr gut",
        "niedrig|gering|mittel|hoch|sehr hoch",
        "nie|selten|manchmal|oft|immer",
    )
)  # fmt: skip
_NO_ANSWERS = frozenset(
    {"not applicable", "n/a", "na", "none", "don't know", "do not know", "i don't know", "unsure"}
    | {"i do not know", "not sure", "no opinion", "no answer", "refused", "unknown", "other"}
    | {"prefer not to say", "prefer not to answer"}
)
_ORDINAL = re.compile(r"(\d{1,3})(?:st|nd|rd|th)\b.*")
_LIMIT = r"[$€£]?(\d{1,9}(?:[.,]\d{3})*)[kK]?"
_BAND = re.compile(
    rf"(?P<under><|under |below |less than |up to )?{_LIMIT}"
    rf"(?:(?: ?[-\u2013] ?| to ){_LIMIT}| ?\+| and (?:over|older|above))?(?: ?\D{{1,8}})?"
)


def are_symbols(texts: Sequence[str]) -> bool:
    """Return True for flags and other symbols, a few of which have digits, such as keycaps."""
    worded = sum(any(map(str.isalnum, text)) for text in texts)
    return worded <= MAX_WORDED_SYMBOLS * len(texts)


def are_answers(texts: Sequence[str]) -> bool:
    """Return True for answers on a scale, such as very good, next to words for no answer."""
    words = {_plain(text) for text in texts[: MAX_VALUES + 1]}
    given = words - _NO_ANSWERS
    are_few = len(texts) <= MAX_VALUES and len(given) >= MIN_VALUES
    return are_few and any(given <= set(scale) | _NO_ANSWERS for scale in _SCALES)


def _plain(value: str) -> str:
    return re.sub(r"[_\s-]+", " ", value).strip().casefold()


def are_groups(texts: Sequence[str]) -> bool:
    """Return True if bands that follow each other, such as 0-17, 18-24 and 65+, are among texts.

    They name groups of a public statistic, possibly next to other groups. Groups may contain each
    other, but do not overlap otherwise.
    """
    if len(texts) > MAX_GROUPS:
        return False
    bands = [match for match in map(_BAND.fullmatch, texts) if match is not None]
    limits = {(_limit(band[2]), _limit(band[3])) for band in bands if band[3]}
    ends = {high for _, high in limits}
    lowest = min((low for low, _ in limits), default=0)
    later = [low for low, _ in limits if low > lowest]
    following = sum(low in ends or low - 1 in ends for low in later)
    return (
        len(limits) >= MIN_BANDS
        and 2 * len(later) >= len(limits) - 1  # codes such as 24-01180 all begin alike
        and len(bands) >= MIN_BAND_SHARE * len(texts)
        and all(low < high for low, high in limits)
        and not any(a[0] < b[0] < a[1] < b[1] for a in limits for b in limits)
        and following >= MIN_FOLLOWING * len(later)
    )


def _limit(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def order_of(values: Sequence[str]) -> str | None:
    """Return the values in ascending order, separated by `|`; None without an order."""
    if not MIN_VALUES <= len(values) <= MAX_VALUES or any("|" in value for value in values):
        return None
    keys = _scale_keys(values) or _number_keys(values)
    if keys is None or len(set(keys)) < len(keys):
        return None
    ordered = [value for _, value in sorted(zip(keys, values, strict=True))]
    format = "|".join(ordered)
    return format if len(format) <= MAX_FORMAT_CHARS else None


def _scale_keys(values: Sequence[str]) -> list[tuple[int, ...]] | None:
    words = list(map(_plain, values))
    for scale in _SCALES:
        if set(words) <= set(scale):
            return [(scale.index(word),) for word in words]
    return None


def _number_keys(values: Sequence[str]) -> list[tuple[int, ...]] | None:
    """Return sort keys of ordinals such as 1st, or of bands such as 18-24, <18 and 65+."""
    ordinals = [_ORDINAL.fullmatch(value) for value in values]
    if all(ordinals):
        return [(int(match[1]),) for match in ordinals if match is not None]
    bands = [_BAND.fullmatch(value) for value in values]
    keys: list[tuple[int, ...]] = []
    for band in bands:
        if band is None:
            return None
        low, high = (int(re.sub(r"\D", "", band[i])) if band[i] else None for i in (2, 3))
        if low is None or (high is not None and high < low):
            return None
        keys.append((-1 if band["under"] else low, low))
    has_range = sum(band is not None and band[3] is not None for band in bands)
    is_disjoint = len({key[0] for key in keys}) == len(keys)
    return keys if 2 * has_range >= len(values) and is_disjoint else None
