"""Inference of the form of dates, times and periods from some of a column's texts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.forms.digits import plain_digits, script_of
from modalities.tabular.forms.durations import count_fraction_digits
from modalities.tabular.forms.moments import PERSIAN, MomentForm, parse_format
from models.tabular.calendar_names import LANGUAGES

MIN_FIT_FRACTION = 0.9  # of the sampled texts; the exact fraction is checked on all rows
MIN_COMPACT_VALUES = 3  # different texts of eight digits that are all dates
MIN_COMPACT_MONTHS = 10  # different texts of six digits that are all months
_PERSIAN_YEARS = frozenset(map(str, range(1300, 1451)))  # 1921 to 2072 of the Gregorian calendar
MIN_OLD_DAYS = 20  # different days, some of which are long ago
MIN_DAYS = 20  # different days of months without a year
MIN_COMPACT_TIMES, MIN_HOURS = 20, 5  # different texts such as 0915, and hours
MAX_YEARS_RATIO = 1.5  # of the different years of a form to those of another one
_PROBE = 8  # texts that show which kinds of forms are worth trying
_DATE_PROBE = 32  # texts that show which forms of dates are

# Date forms in order of preference: the day comes before the month, as in most countries. A letter
# is a directive, except `Q` and `W`; `e` is a name of a month, `w` one of a weekday.
_DATES = (
    *(f"{a}{s}{b}{s}{c}" for s in "-/." for a, b, c in ("Ymd", "dmY", "mdY", "dmy", "mdy", "ymd")),
    "d e Y", "d. e Y", "d-e-Y", "d-e-y", "d e y", "d/e/Y", "d/e/y",
    "d.e.Y", "deY", "e d, Y", "e d Y",
    "Y-e-d", "Y e d", "w, d e Y", "w, e d, Y", "w e d Y", "w, d. e Y", "w d e Y", "e. d, Y",
    "d de e de Y", "d e, Y", "Y m d", "d m Y", "w d/m/Y", "w m/d/Y", "w, Y-m-d", "w Y-m-d",
    "w, m/d/Y", "w, d/m/Y", "w d.m.Y", "w, d.m.Y", "do e Y", "e do, Y", "e do Y", "w, e do, Y",
    "w do e Y", "w, do e Y", "do e, Y", "Y.m.d.", "d.m.Y.", "d. m. Y", "d. m. Y.", "Y. m. d.",
    "Y. m. d", "Y. e d.", "d e Y \u0433.", "Y\u5e74m\u6708d\u65e5", "Y\ub144 m\uc6d4 d\uc77c",
)  # fmt: skip
_PERIODS = (
    "Y-m", "Y/m", "m/Y", "m-Y", "m.Y", "Y.m", "Y m", "e Y", "e-Y", "e-y", "e y", "Y-e", "Y e",
    "e/Y", "e/y", "e, Y", "eY", "YMm",
    "YQq", "Y-Qq", "Y Qq", "Y_Qq", "Y/Qq", "Qq Y", "Qq-Y", "Qq/Y", "QqY", "Qq y", "Qq-y", "Qq'y",
    "Y-q Q", "qQY", "qQy", "qQ Y", "q. Quartal Y", "Y:Qq", "YqQ",
    "G-WV", "GWV", "G WV", "WV G", "WV-G", "WV/G",
)  # fmt: skip
# Days without a year.
_DAYS = (
    "e d", "d e", "e do", "do e", "e-d", "d-e", "e. d", "d. e", "d de e", "d/e", "w, e d", "w, d e",
    "w d e", "w e d", "w, d. e", "w, e do", "w do e",
)  # fmt: skip
_PADDED_DAYS = ("m/d", "d/m", "m-d", "d.m.")
# Time zones with daylight saving time that are tried where times have different offsets.
_ZONES = (
    "Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "America/Chicago",
    "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Australia/Sydney",
    "Pacific/Auckland", "Asia/Jerusalem", "America/Halifax", "Europe/Lisbon", "Europe/Kiev",
)  # fmt: skip
# Formats of logs and other programs, which the templates do not cover.
_OTHER_FORMATS = [
    "%a %b %d %H:%M:%S %Y", "%a %b %-d %H:%M:%S %Y", "%a %b %d %H:%M:%S +0000 %Y",
    "%a %b %d %H:%M:%S UTC %Y", "[%d/%b/%Y:%H:%M:%S +0000]", "%d.%m.%Y %H:%M Uhr",
    "%H:%M %d.%m.%Y", "%H:%M:%S %d.%m.%Y", "%H:%M %d/%m/%Y", "%Y-%m-%d-%H-%M", "%Y-%m-%d-%H-%M-%S",
    "%Y-%m-%d_%H-%M-%S", "%Y_%m_%d", "%Hh%M", "%-Hh%M", "%d.%m.%Y %H.%M", "%Y-%m-%d %H.%M.%S",
]  # fmt: skip
_TEXT = re.compile(
    r"(?:(?P<date>.+?)(?P<separator>[T:]|,? +|, | - ))??"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?P<second>:\d{2})?(?P<fraction>[.,]\d{1,9})?"
    r"(?P<half> ?(?:[AaPp]\.?[Mm]\.?))?"
    r"(?P<zone> ?(?:(?:GMT|UTC)[+-]\d{1,4}|Z|UTC|GMT|[ECMP][SD]T|CES?T|BST|MSK|JST|IST|"
    r"[+-]\d{2}(?::?\d{2})?))?"
)
_COMPACT = re.compile(
    r"(?P<date>\d{8})(?P<separator>[T _-]?)(?P<hour>\d{2})(?P<minute>\d{2})"
    r"(?P<second>\d{2})?(?P<zone>Z)?"
)
_PARTS = re.compile(r"\d+|[^\W\d_]+|[?]+")
_MAX_PARTS = 3
_HAS_YEAR = re.compile(r"(?:^|[^\d])(?:1[0-9]|2[01])\d\d(?:$|[^\d])")
_UNKNOWN = re.compile(r"[?]|[xX]{2}|(?:^|[^\d])00(?:$|[^\d])")
_UNKNOWN_MARKS = ("??", "?", "00", "XX", "xx")
_DAY_PLACE, _MONTH_PLACE = re.compile(r"%-?d[ .,/-]*"), re.compile(r"%-?[mbB][ .,/-]*")
_MIN_PARTIAL = 0.02  # share of the texts of each exactness
_PADDED_DAY = re.compile(r"\d\d[-/.]\d\d\.?")
_SEASON = re.compile(r"\d{4}[-/]\d{2}")


@dataclass(frozen=True)
class InferredMoment:
    """A form, and whether the texts have different offsets, which it cannot keep."""

    form: MomentForm
    offsets: tuple[str, ...] = ()


def infer_moments(sample: Sequence[str]) -> list[InferredMoment]:
    """Return the forms that fit most of the texts, the most likely first."""
    texts = list(sample)
    if not any(character.isdigit() for text in texts[:_PROBE] for character in text):
        return []
    if script := script_of(texts):
        plain = infer_moments([plain_digits(text, script) for text in texts])
        formats = [f"[{script}]{moment.form.format}" for moment in plain if not moment.offsets]
        return [InferredMoment(form) for form in map(parse_format, formats) if form is not None]
    split = [match for match in map(_TEXT.fullmatch, texts) if match is not None]
    if split and (optional := _infer_optional_times(texts, split)) is not None:
        return [InferredMoment(optional)]
    if len(split) >= MIN_FIT_FRACTION * len(texts):
        return _infer_with_time(split)
    if all(text.isdigit() for text in texts[:_PROBE]):
        return _infer_compact(texts)
    compact = [match for match in map(_COMPACT.fullmatch, texts) if match is not None]
    if len(compact) >= MIN_FIT_FRACTION * len(texts):
        return _infer_compact_time(texts, compact[0])
    if all(_SEASON.fullmatch(text) and _is_season(text) for text in texts):
        return []
    if (partial := _infer_partial_dates(texts)) is not None:
        return [InferredMoment(partial)]
    formats = _infer_dates(texts, _templates(texts)) or _infer_other(texts)
    return [InferredMoment(form) for form in map(parse_format, formats) if form is not None]


def _infer_optional_times(
    texts: Sequence[str], split: Sequence[re.Match[str]]
) -> MomentForm | None:
    """Return the form of dates of which some have a time, such as 2013-07-14T10:30."""
    dated = [match for match in split if match["date"]]
    others = pa.array([text for text in texts if _TEXT.fullmatch(text) is None], pa.string())
    if not dated or not len(others):
        return None
    times = pa.array([match[0] for match in dated])
    for exact in _infer_with_time(dated):
        date = re.sub(r"(?<=%[dYy]).%-?[HI].*", "", exact.form.format)
        form = parse_format(f"{exact.form.format}|{date}")
        if form is None or exact.offsets:
            continue
        same, same_dates = (_count_same(form, array) for array in (times, others))
        # Other midnights would become dates.
        if same == len(times) and same_dates and same + same_dates >= MIN_FIT_FRACTION * len(texts):
            return form
    return None


def _count_same(form: MomentForm, texts: pa.StringArray) -> int:
    """Return the number of texts that a form writes as they came."""
    return pc.sum(pc.equal(form.write(form.parse(texts)), texts)).as_py() or 0


def _infer_partial_dates(texts: Sequence[str]) -> MomentForm | None:
    """Return the form of dates of which some lack the day or the month.

    Examples are 2013, 2013-07 and 2013-07-14 in one column, and 2013-??-??.
    """
    parts = [_PARTS.findall(text) for text in texts]
    most = max(map(len, parts))
    has_unknown = [_UNKNOWN.search(text) is not None for text in texts]
    exact = [
        text
        for text, each, is_unknown in zip(texts, parts, has_unknown, strict=True)
        if len(each) == most and not is_unknown
    ]
    dated = sum(_HAS_YEAR.search(text) is not None for text in texts)
    if not exact or len(exact) == len(texts) or most > _MAX_PARTS or dated < len(texts):
        return None
    for format in _infer_dates(exact, (*_DATES, *_PERIODS)):
        formats, rest = [format], _unread(format, texts)
        for coarser in _coarser_formats(format):
            unread = _unread(coarser, rest)
            if len(rest) - len(unread) >= max(1, _MIN_PARTIAL * len(texts)):
                formats, rest = [*formats, coarser], unread
        form = parse_format("|".join(formats)) if len(formats) > 1 else None
        if form is not None and len(rest) <= (1 - MIN_FIT_FRACTION) * len(texts):
            return form
    return None


def _unread(format: str, texts: Sequence[str]) -> list[str]:
    """Return the texts of other forms. Seasons such as 2011-12 are not months."""
    form = parse_format(format)
    if form is None or (texts and all(_SEASON.fullmatch(t) and _is_season(t) for t in texts)):
        return list(texts)
    missing = form.parse(pa.array(texts, pa.string())).is_null().to_pylist()
    return [text for text, is_missing in zip(texts, missing, strict=True) if is_missing]


def _coarser_formats(format: str) -> list[str]:
    """Return formats without the day, and without the month, or with a mark in their place."""
    month = _DAY_PLACE.sub("", format).rstrip(" .,/-")
    coarser = [month, _MONTH_PLACE.sub("", month).rstrip(" .,/-")]
    for mark in _UNKNOWN_MARKS:
        month = re.sub(r"%-?d", mark, format)
        coarser += [month, re.sub(r"%-?[mbB]", mark, month)]
    return [each for each in coarser if each != format]


def _templates(texts: Sequence[str]) -> Sequence[str]:
    """Return the templates of dates without a time in order of preference."""
    numbers = [number for text in texts for number in re.findall(r"\d+", text)]
    if all(_PADDED_DAY.fullmatch(text) for text in texts) and len(set(texts)) >= MIN_DAYS:
        return _PADDED_DAYS if max(map(int, numbers)) > 12 else ()
    # `Sep 08` is a day rather than a year if there are many days, up to the last ones of a month.
    are_days = len(set(numbers)) >= MIN_DAYS and max(numbers, key=int) in {"29", "30", "31"}
    return (*_DATES, *_DAYS, *_PERIODS) if are_days else (*_DATES, *_PERIODS, *_DAYS)


def _infer_other(texts: Sequence[str]) -> list[str]:
    """Return the other format that writes most texts unchanged, if there is one."""
    array, best, most = pa.array(texts), "", MIN_FIT_FRACTION * len(texts)
    for format in _OTHER_FORMATS:
        form = parse_format(format)
        assert form is not None  # noqa: S101 - a constant
        if sum(map(bool, map(re.compile(form.regex).match, texts))) < most:
            continue  # reading and writing all texts takes fifty times as long
        same = pc.sum(pc.equal(form.write(form.parse(array)), array)).as_py() or 0
        if same >= most and (not best or same > most):
            best, most = format, same
    return [best] if best else []


def _is_season(text: str) -> bool:
    """Return True for two consecutive years, such as 2011/12."""
    return (int(text[:4]) + 1) % 100 == int(text[-2:])


def _infer_with_time(matches: Sequence[re.Match[str]]) -> list[InferredMoment]:
    shapes = Counter(_shape(match) for match in matches)
    shape, count = shapes.most_common(1)[0]
    has_zones = len({zone for *_, zone in shapes}) > 1
    # Without offsets, another form may read the other times, such as those with PM.
    if count < (MIN_FIT_FRACTION if has_zones else 0.5) * len(matches):
        return []
    matches = [match for match in matches if _shape(match) == shape]
    separator, has_seconds, half, zone_class = shape
    times = _time_format(matches, has_seconds=has_seconds, half=half)
    zones = Counter(match["zone"] or "" for match in matches)
    offsets = tuple(sorted(zone.strip() for zone in zones)) if len(zones) > 1 else ()
    zone = zone_class if len(zones) > 1 else next(iter(zones))
    dates = [""]
    if separator is not None:
        dates = _infer_dates([match["date"] for match in matches], (*_DATES, *_DAYS))
    moments = []
    for date in dates:
        form = parse_format(f"{date}{separator or ''}{times}{zone}")
        if form is not None and (date or not zone):
            local = _in_zone(form, [match[0] for match in matches]) if offsets else None
            moments.append(
                InferredMoment(form, offsets) if local is None else InferredMoment(local)
            )
    return moments


def _in_zone(form: MomentForm, texts: Sequence[str]) -> MomentForm | None:
    """Return the form with the time zone that has the offsets of all texts, if there is one."""
    array = pa.array(texts)
    micros, decimals = form.parse(array), count_fraction_digits(texts)
    for zone in _ZONES:
        local = parse_format(f"{form.format}[{zone}]")
        if local is not None and local.write(micros, decimals) == array:
            return local
    return None


def _shape(match: re.Match[str]) -> tuple[str | None, bool, str, str]:
    zone = re.sub(r"[+-]\d{2}:\d{2}", "%:z", match["zone"] or "")
    zone = re.sub(r"[+-]\d{2}(?:\d{2})?$", "%z", zone)
    half = re.sub("[AP]M$", "%p", match["half"] or "")
    half = re.sub("[ap]m$", "%P", half)
    half = re.sub(r"[AP]\.M\.$", "%-p", half)
    half = re.sub(r"[ap]\.m\.$", "%-P", half)
    return match["separator"], match["second"] is not None, half, zone


def _time_format(matches: Sequence[re.Match[str]], *, has_seconds: bool, half: str) -> str:
    hours = [match["hour"] for match in matches]
    if half:
        hour = "%I" if _is_padded(hours) else "%-I"
    else:
        starts = {("24", "00"), ("00", "00"), ("0", "00")}
        midnight = starts & {(match["hour"], match["minute"]) for match in matches}
        padded = "%24H" if midnight == {("24", "00")} else "%H"
        hour = padded if _is_padded(hours) else "%-H"
    fractions = [match["fraction"] for match in matches if match["fraction"]]
    mark = fractions[0][0] if fractions and has_seconds else ""
    return f"{hour}:%M{':%S' if has_seconds else ''}{mark}{'%f' if mark else ''}{half}"


def _is_padded(numbers: Sequence[str], *, default: bool = True) -> bool:
    """Return True if small numbers have a leading zero; `default` if there are none."""
    single = sum(len(number) == 1 for number in numbers)
    double = sum(number.startswith("0") and len(number) == 2 for number in numbers)
    return default if single == double == 0 else single <= double


def _infer_compact(texts: Sequence[str]) -> list[InferredMoment]:
    """Return the forms of dates that are numbers, if all texts are plausible dates."""
    distinct = set(texts)
    for format, length, minimum in (
        ("%Y%m%d", 8, MIN_COMPACT_VALUES),
        ("%Y%m%d%H%M%S", 14, MIN_COMPACT_VALUES),
        ("%Y%m%d%H%M", 12, MIN_COMPACT_VALUES),
        ("%Y%m", 6, MIN_COMPACT_MONTHS),
        ("%d%m%Y", 8, MIN_COMPACT_MONTHS),
        ("%m%d%Y", 8, MIN_COMPACT_MONTHS),
        ("%H%M", 4, MIN_COMPACT_TIMES),
        ("%H%M%S", 6, MIN_COMPACT_TIMES),
    ):
        if len(distinct) < minimum or {len(text) for text in distinct} != {length}:
            continue
        form = parse_format(format)
        assert form is not None  # noqa: S101 - a constant
        if not form.has_date and len({text[:2] for text in distinct}) < MIN_HOURS:
            continue
        years = {text[-4:] if format.endswith("Y") else text[:4] for text in distinct}
        earliest = "1500" if format == "%Y%m%d" and len(distinct) >= MIN_OLD_DAYS else "1900"
        is_plausible = all(earliest <= year < "2100" for year in years)
        is_plausible = is_plausible or not form.has_date
        if length > 8 and _are_serial_numbers([text[8:] for text in distinct]):
            continue
        if is_plausible and form.parse(pa.array(distinct)).null_count == 0:
            return [InferredMoment(form)]
    return []


def _infer_compact_time(texts: Sequence[str], match: re.Match[str]) -> list[InferredMoment]:
    seconds, zone = "%S" if match["second"] else "", match["zone"] or ""
    form = parse_format(f"%Y%m%d{match['separator']}%H%M{seconds}{zone}")
    if form is None or form.parse(pa.array(texts)).null_count > (1 - MIN_FIT_FRACTION) * len(texts):
        return []
    are_marked = match["separator"] == "T" or match["zone"] is not None
    if not are_marked and _are_serial_numbers([text[9:] for text in texts]):
        return []
    return [InferredMoment(form)]


def _are_serial_numbers(times: Sequence[str]) -> bool:
    """Return True for digits after dates that would be different minutes of the first hour."""
    return {time[:2] for time in times} == {"00"} and len({time[2:] for time in times}) > 1


def _infer_dates(texts: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Return the formats of the templates that fit most texts.

    If forms fit equally well, those with much fewer different years are preferred, because days
    and months are spread evenly, and then the first templates.
    """
    distinct = list(dict.fromkeys(texts))
    array, ranked = pa.array(distinct), []
    for rank, template in enumerate(templates):
        pattern = _template_pattern(template)
        probed = distinct[:_DATE_PROBE]
        probes = sum(pattern.fullmatch(text) is not None for text in probed)
        if 4 * probes < len(probed) or not _has_plausible_years(pattern, distinct):
            continue  # of two forms in one column, each may be rare among a few texts
        for format in _complete(template, pattern, distinct):
            form = parse_format(format)
            valid = 0 if form is None else len(distinct) - form.parse(array).null_count
            if valid >= MIN_FIT_FRACTION / 2 * len(distinct):
                ranked.append((-valid, _count_years(pattern, distinct), rank, format))
    best = min(ranked, default=(0, 0, 0, ""))[0]
    enough = [each for each in ranked if each[0] == best]
    fewest = min((years for _, years, _, _ in enough if years), default=0)
    enough.sort(key=lambda each: (each[1] > MAX_YEARS_RATIO * fewest, each[2]))
    return [format for _, _, _, format in enough[:3]]


def _count_years(pattern: re.Pattern[str], texts: Sequence[str]) -> int:
    """Return the number of different years of two digits; 0 if a pattern has none."""
    if "y" not in pattern.groupindex:
        return 0
    return len({match["y"] for match in map(pattern.fullmatch, texts) if match is not None})


def _has_plausible_years(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    """Return False for numbers such as 4.0900, which are no months of the year 900.

    Many dates with a day may be those of the first millennium.
    """
    if "Y" not in pattern.groupindex:
        return True
    years: list[str] = [match["Y"] for match in map(pattern.fullmatch, texts) if match is not None]
    earliest = "0001" if "d" in pattern.groupindex and len(years) >= MIN_OLD_DAYS else "1000"
    implausible = sum(not earliest <= year < "2200" for year in years)
    return implausible <= (1 - MIN_FIT_FRACTION) * len(years)


def _tokens(template: str) -> list[str]:
    return re.findall(r" de | de|Quartal|Y|.", template)


@lru_cache(maxsize=256)
def _template_pattern(template: str) -> re.Pattern[str]:
    patterns = {
        "Y": r"(?P<Y>\d{4})", "G": r"(?P<G>\d{4})", "y": r"(?P<y>\d{2})", "V": r"(?P<V>\d{2})",
        "m": r"(?P<m>\d{1,2})", "d": r"(?P<d> ?\d{1,2})", "q": r"(?P<q>[1-4])",
        "e": r"(?P<e>[^\W\d_]{3,12}\.?)", "w": r"(?P<w>[^\W\d_]{2,12}\.?)",
        "o": r"(?:(?i:st|nd|rd|th))",
    }  # fmt: skip
    if template.startswith(("YMm", "Ym")):
        patterns["m"] = r"(?P<m>\d{2})"
    return re.compile("".join(patterns.get(t, re.escape(t)) for t in _tokens(template)))


def _complete(template: str, pattern: re.Pattern[str], texts: Sequence[str]) -> list[str]:
    """Return the formats of a template: padding, language and letter case as in the texts."""
    matches = [match for match in map(pattern.fullmatch, texts) if match is not None]
    fields = pattern.groupindex
    directives = {name: f"%{name}" for name in "YGyVqo"}
    numbers = {name: [match[name] for match in matches] for name in "md" if name in fields}
    # A day or month without small numbers is padded like the other.
    default = all(map(_is_padded, numbers.values()))
    for name, texts_of_field in numbers.items():
        if any(text[0] == " " for text in texts_of_field):
            directives[name] = f"%_{name}"
            continue
        is_padded = _is_padded(texts_of_field, default=default)
        directives[name] = f"%{name}" if is_padded else f"%-{name}"
    named = {
        name: _name_directives([match[name] for match in matches], pair)
        for name, pair in (("e", "Bb"), ("w", "Aa"))
        if name in fields
    }
    fitting = {
        language: sum(found[language][0] for found in named.values())
        for language in LANGUAGES
        if all(language in found for found in named.values())
    }
    formats = []
    for language in [max(fitting, key=fitting.__getitem__)] if fitting else []:
        chosen = directives | {name: found[language][1] for name, found in named.items()}
        body = "".join(chosen.get(token, token) for token in _tokens(template))
        formats.append((f"[{language}]" if language else "") + body)
    if "Y" in fields and not named and all(match["Y"] in _PERSIAN_YEARS for match in matches):
        formats.insert(0, f"[{PERSIAN}]{formats[0]}")
    return formats


def _name_directives(texts: Sequence[str], pair: str) -> dict[str, tuple[int, str]]:
    """Return the number of names that the language has, and their directive, by language."""
    result = {}
    lower = Counter(text.lower() for text in texts)
    is_upper = all(text == text.upper() for text in texts)
    is_lower = all(text == text.lower() for text in texts)
    is_title = all(text == text.capitalize() for text in texts)
    for language, names in LANGUAGES.items():
        lists = (names.months, names.short_months) if pair == "Bb" else (
            names.weekdays, names.short_weekdays
        )  # fmt: skip
        for letter, each in zip(pair, lists, strict=True):
            known = {name.lower() for name in each}
            count = sum(n for text, n in lower.items() if text in known)
            if count < MIN_FIT_FRACTION * len(texts):
                continue
            flag = "^" if is_upper and each[0] != each[0].upper() else ""
            flag = "#" if is_lower and each[0] != each[0].lower() else flag
            flag = "~" if is_title and each[0] != each[0].capitalize() else flag
            result[language] = (count, f"%{flag}{letter}")
            break
    return result
