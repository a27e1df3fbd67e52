"""Inference of the form of times of day, and of dates with a time."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from modalities.tabular.forms.date_inference import infer_dates
from modalities.tabular.forms.date_templates import DATES, DAYS, are_padded
from modalities.tabular.forms.durations import count_fraction_digits
from modalities.tabular.forms.fit import MIN_FIT_FRACTION, count_equal
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moments import MomentForm

# Time zones with daylight saving time that are tried where times have different offsets.
_ZONES = (
    "Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "America/Chicago",
    "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Australia/Sydney",
    "Pacific/Auckland", "Asia/Jerusalem", "America/Halifax", "Europe/Lisbon", "Europe/Kiev",
)  # fmt: skip
_PARTS = re.compile(
    r"(?:(?P<date>.+?)(?P<separator>[T:]|,? +|, | - ))??"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?P<second>:\d{2})?(?P<fraction>[.,]\d{1,9})?"
    r"(?P<half> ?(?:[AaPp]\.?[Mm]\.?))?"
    r"(?P<zone> ?(?:(?:GMT|UTC)[+-]\d{1,4}|Z|UTC|GMT|[ECMP][SD]T|CES?T|BST|MSK|JST|IST|"
    r"[+-]\d{2}(?::?\d{2})?))?"
)


_ZERO_OFFSET = re.compile(r"(?:Z|UTC|GMT)$")
_Shape = tuple[str | None, bool, str, str]  # see _shape_of


@dataclass(frozen=True)
class InferredMoment:
    """A form, and the different offsets of the texts, none of which is kept.

    With offsets, `form` has the most common one, and `any_offset` reads the texts with the others.
    """

    form: MomentForm
    offsets: tuple[str, ...] = ()
    any_offset: MomentForm | None = None

    @property
    def forms(self) -> tuple[MomentForm, ...]:
        """The forms that read the texts; the first one writes them."""
        return (self.form,) if self.any_offset is None else (self.form, self.any_offset)


def split_times(texts: Sequence[str]) -> list[re.Match[str]]:
    """Return the parts of the texts that have a time of day."""
    return [match for match in map(_PARTS.fullmatch, texts) if match is not None]


def infer_times(matches: Sequence[re.Match[str]]) -> list[InferredMoment]:
    """Return the forms that fit most of the split texts, the most likely first."""
    shape_of = _with_zero_offsets(Counter(map(_shape_of, matches)))
    shapes = Counter(shape_of(match) for match in matches)
    shape, count = shapes.most_common(1)[0]
    has_zones = len({zone for *_, zone in shapes}) > 1
    # Without offsets, another form may read the other times, such as those with PM.
    if count < (MIN_FIT_FRACTION if has_zones else 0.5) * len(matches):
        return []
    matches = [match for match in matches if shape_of(match) == shape]
    separator, has_seconds, half, zone_class = shape
    times = _time_format(matches, has_seconds=has_seconds, half=half)
    zones = Counter(match["zone"] or "" for match in matches)
    offsets = tuple(sorted(zone.strip() for zone in zones)) if len(zones) > 1 else ()
    zone = zone_class if len(zones) > 1 else next(iter(zones))
    dates = [""]
    if separator is not None:
        dates = infer_dates([match["date"] for match in matches], (*DATES, *DAYS))
    moments = []
    for date in dates:
        form = parse_format(f"{date}{separator or ''}{times}{zone}")
        if form is None or (zone and not date):
            continue
        if not offsets:
            moments.append(InferredMoment(form))
        elif (local := _in_zone(form, [match[0] for match in matches])) is not None:
            moments.append(InferredMoment(local))
        else:
            common = parse_format(f"{date}{separator or ''}{times}{zones.most_common(1)[0][0]}")
            moments.append(InferredMoment(common or form, offsets, form))
    return moments


def infer_optional_times(texts: Sequence[str], split: Sequence[re.Match[str]]) -> MomentForm | None:
    """Return the form of dates of which some have a time, such as 2013-07-14T10:30."""
    dated = [match for match in split if match["date"]]
    others = pa.array([text for text in texts if _PARTS.fullmatch(text) is None], pa.string())
    if not dated or not len(others):
        return None
    times = pa.array([match[0] for match in dated])
    for exact in infer_times(dated):
        date = re.sub(r"(?<=%[dYy]).%-?[HI].*", "", exact.form.format)
        form = parse_format(f"{exact.form.format}|{date}")
        if form is None or exact.offsets:
            continue
        same, same_dates = (
            count_equal(form.write(form.parse(array)), array) for array in (times, others)
        )
        # Other midnights would become dates.
        if same == len(times) and same_dates and same + same_dates >= MIN_FIT_FRACTION * len(texts):
            return form
    return None


def _in_zone(form: MomentForm, texts: Sequence[str]) -> MomentForm | None:
    """Return the form with the time zone that has the offsets of all texts, if there is one."""
    array = pa.array(texts)
    micros, decimals = form.parse(array), count_fraction_digits(texts)
    for zone in _ZONES:
        local = parse_format(f"{form.format}[{zone}]")
        if local is not None and local.write(micros, decimals) == array:
            return local
    return None


def _with_zero_offsets(shapes: Counter[_Shape]) -> Callable[[re.Match[str]], _Shape]:
    """Return `_shape_of`, in which Z, UTC and GMT have the directive of other offsets if any do."""
    offsets = (zone.strip() for (*_, zone), _ in shapes.most_common() if "%" in zone)
    directive = next(offsets, "")

    def shape_of(match: re.Match[str]) -> _Shape:
        separator, has_seconds, half, zone = _shape_of(match)
        return separator, has_seconds, half, _ZERO_OFFSET.sub(directive or r"\g<0>", zone)

    return shape_of


def _shape_of(match: re.Match[str]) -> _Shape:
    """Return the separator, the presence of seconds, and the directives of am/pm and the offset."""
    zone = re.sub(r"[+-]\d{2}:\d{2}", "%:z", match["zone"] or "")
    zone = re.sub(r"[+-]\d{2}(?:\d{2})?$", "%z", zone)
    half = re.sub("[AP]M$", "%p", match["half"] or "")
    half = re.sub("[ap]m$", "%P", half)
    half = re.sub(r"[AP]\.M\.$", "%-p", half)
    half = re.sub(r"[ap]\.m\.$", "%-P", half)
    return match["separator"], match["second"] is not None, half, zone


def _time_format(matches: Sequence[re.Match[str]], *, has_seconds: bool, half: str) -> str:
    """Return the format of times of one shape, without the offset."""
    hours = [match["hour"] for match in matches]
    if half:
        hour = "%I" if are_padded(hours) else "%-I"
    else:
        starts = {("24", "00"), ("00", "00"), ("0", "00")}
        midnight = starts & {(match["hour"], match["minute"]) for match in matches}
        padded = "%24H" if midnight == {("24", "00")} else "%H"
        hour = padded if are_padded(hours) else "%-H"
    fractions = [match["fraction"] for match in matches if match["fraction"]]
    mark = fractions[0][0] if fractions and has_seconds else ""
    return f"{hour}:%M{':%S' if has_seconds else ''}{mark}{'%f' if mark else ''}{half}"
