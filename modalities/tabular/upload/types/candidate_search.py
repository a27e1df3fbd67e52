"""Search for the forms that a sample of a text column suggests."""

import re
from collections.abc import Sequence

import pyarrow as pa

from modalities.tabular.forms.clock_numbers import CLOCK_NUMBERS
from modalities.tabular.forms.durations import (
    count_fraction_digits,
    has_units,
    have_minutes,
    infer_duration_form,
)
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moment_inference import infer_moments
from modalities.tabular.forms.moments import MomentForm
from modalities.tabular.forms.number_inference import has_only_thousands, infer_number_forms
from modalities.tabular.forms.number_texts import NumberTexts
from modalities.tabular.forms.time_inference import InferredMoment
from modalities.tabular.upload.types.form_candidates import MAX_ODD_FRACTION, FormCandidate
from modalities.tabular.upload.types.form_readers import (
    DurationReader,
    MomentReader,
    NumberReader,
)

_MAX_MIXED_FORMS = 3  # of the dates of a column
# Seconds and milliseconds since 1970 of the years 2001 to 2036, in columns that are named so.
_EPOCH_NAME = re.compile(
    r"(?i)(^|_)(ts|timestamp|epoch|unix_?time|time|datetime)($|_)|_at$|Timestamp$|At$"
)
_EPOCH_SECONDS = r"(?:1\d|20)\d{8}"
_EPOCH_MILLISECONDS = r"(?:1\d|20)\d{11}"
# Numbers of things, of which those on a floor or of a line rarely end in 60 or more, as times do.
_THING_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:room|raum|zimmer|suite|apartment|apt|unit|flat|flight|flug|train|zug|bus|line|"
    r"linie|route|gate|seat|stall|house|haus|hausnummer|channel|code|id|no|nr|num|number|nummer)s?(?:$|[\W_])"
)
_CLOCK = re.compile(r".*:|-?P")  # of durations
_PROBED_TEXTS = 5
_NUMBER_PAIR = re.compile(r"(\d{4,}),(\d{4,})")


def find_candidates(
    name: str,
    sample: Sequence[str],
    *,
    decimal_comma: bool = False,
    stated_marks: bool = False,
    typed_text: bool = False,
) -> list[FormCandidate]:
    """Return the forms that some texts of a column suggest, the most likely first.

    With `decimal_comma`, the comma is the more likely decimal mark, or certainly with
    `stated_marks`. With `typed_text`, the file says that plain numbers are text.
    """
    stripped = list(dict.fromkeys(text.strip() for text in sample))
    candidates = _epoch_candidates(name, sample) or _moment_candidates(sample)
    candidates = candidates or _moment_candidates(stripped)
    if _THING_NAME.search(name):
        candidates = [each for each in candidates if not _are_clock_numbers(each)]
    readers = [each.reader for each in candidates]
    is_date = any(isinstance(each, MomentReader) and each.forms[0].has_date for each in readers)
    if not is_date or candidates[0].offsets:
        candidates += _duration_candidates(sample)
    return candidates + _number_candidates(
        sample, decimal_comma=decimal_comma, stated_marks=stated_marks, typed_text=typed_text
    )


def _are_clock_numbers(candidate: FormCandidate) -> bool:
    """Return True for times such as 5 and 1657."""
    reader = candidate.reader
    return isinstance(reader, MomentReader) and reader.forms[0].format in CLOCK_NUMBERS


def _duration_candidates(sample: Sequence[str]) -> list[FormCandidate]:
    may_fit = any(map(_CLOCK.match, sample[:_PROBED_TEXTS]))
    may_fit = may_fit or has_units(sample) or have_minutes(sample)
    form = infer_duration_form(sample) if may_fit else None
    if form is None:
        return []
    return [FormCandidate(DurationReader(form, count_fraction_digits(sample)))]


def _number_candidates(
    sample: Sequence[str], *, decimal_comma: bool, stated_marks: bool, typed_text: bool
) -> list[FormCandidate]:
    """Return the forms of numbers; the arguments are those of `find_candidates`."""
    is_preferred = decimal_comma and (stated_marks or not has_only_thousands(sample))
    forms = infer_number_forms(sample, decimal_comma=is_preferred)
    if stated_marks:
        forms.sort(key=lambda form: form.decimal != ("," if decimal_comma else "."))
    candidates = []
    for i, form in enumerate(forms):
        # Where the comma separates fields, it hardly is the decimal mark, too.
        is_other = decimal_comma or (forms[0].decimal, form.decimal) == (",", ".")
        is_likely = i == 0 or (is_other and form.zero == forms[0].zero)
        if form.decimal == "," and not decimal_comma and _are_pairs(sample):
            continue
        if not (typed_text and form.is_plain):
            numbers = NumberReader(form, NumberTexts(form))
            candidates.append(FormCandidate(numbers, is_likely=is_likely))
    return candidates


def _are_pairs(sample: Sequence[str]) -> bool:
    """Return True if all texts with a comma are two long numbers, such as `61936,61937`."""
    matches = [_NUMBER_PAIR.fullmatch(text.strip()) for text in sample if "," in text]
    return bool(matches) and all(match and len(match[1]) == len(match[2]) for match in matches)


def _epoch_candidates(name: str, sample: Sequence[str]) -> list[FormCandidate]:
    """Return the form of seconds or milliseconds since 1970, if the name says that they are."""
    if not _EPOCH_NAME.search(name):
        return []
    for format, pattern in (("%s", _EPOCH_SECONDS), ("%Q", _EPOCH_MILLISECONDS)):
        form = parse_format(format)
        if form is not None and sample and all(re.fullmatch(pattern, text) for text in sample):
            return [FormCandidate(MomentReader((form,)))]
    return []


def _moment_candidates(sample: Sequence[str]) -> list[FormCandidate]:
    """Return the forms of dates or times, or one candidate for dates in several forms."""
    digits = count_fraction_digits(sample)
    moments = infer_moments(sample)
    if not moments:
        return []
    candidates = [
        FormCandidate(
            MomentReader(moment.forms, digits),
            is_likely=i == 0 or moment.form.format not in CLOCK_NUMBERS,
            offsets=moment.offsets,
        )
        for i, moment in enumerate(moments)
    ]
    # Dates of another form show the order of those that fit several: 07-05-2011, 3/30/2015.
    plain = [moment for moment in moments if not moment.offsets]
    mixed = [forms for m in plain if len(forms := _mixed_forms(sample, m)) > 1]
    in_one_order = (forms for forms in mixed if len({form.order for form in forms}) == 1)
    forms = next(in_one_order, mixed[0] if mixed else ())
    return [FormCandidate(MomentReader(forms, digits))] if forms else candidates


def _mixed_forms(sample: Sequence[str], first: InferredMoment) -> tuple[MomentForm, ...]:
    """Return forms that together fit the dates of a column with several forms.

    Times of day have several forms only if some are written with am or pm: others may be durations,
    of which 12:30 and 1:02:11 have different units.
    """
    forms, rest = [first.form], list(sample)
    while rest and len(forms) <= _MAX_MIXED_FORMS:
        unread = forms[-1].parse(pa.array(rest)).is_null().to_pylist()
        rest = [text for text, is_unread in zip(rest, unread, strict=True) if is_unread]
        more = infer_moments(rest) if len(rest) > MAX_ODD_FRACTION * len(sample) else []
        if not (more and _may_be_mixed(first.form, more[0].form)):
            break
        same_order = (m.form for m in more if m.form.order == first.form.order)
        second = next(same_order, more[0].form)
        if "y" in first.form.fields | second.fields and (
            "y" in first.form.fields & second.fields or first.form.order != second.order
        ):  # too little to tell forms apart
            break
        forms.append(second)
    forms.sort(key=lambda form: not form.has_time)  # midnight can be written as a time only
    return tuple(forms[:_MAX_MIXED_FORMS])


def _may_be_mixed(first: MomentForm, second: MomentForm) -> bool:
    """Return True if both are forms of dates, or of times of day, with or without a zone."""
    has_half = bool(set("pP") & (first.fields | second.fields))
    is_alike = (first.has_date, first.has_zone) == (second.has_date, second.has_zone)
    return is_alike and (first.has_date or has_half)
