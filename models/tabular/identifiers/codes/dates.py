"""Dates and times in codes such as `20240301-0007`, which are replaced by other valid ones."""

import re
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import Token, Tokens, code_tokens

MIN_CODES = 10  # of which all have a date at the same place
MAX_DAYS = 1_000  # in the pool of new dates
DAY, HOUR, SIXTIETH = "day", "hour", "sixtieth"  # kinds of tokens of dates and times
_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-/.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d(?!\d)|\d{7})"
)
_TIME = re.compile(r"(\D?)([01]\d|2[0-3])([:.]?)([0-5]\d)\3([0-5]\d)(?!\d)")  # after a date
_POOLS = {HOUR: tuple(f"{n:02}" for n in range(24)), SIXTIETH: tuple(f"{n:02}" for n in range(60))}
_PLACEHOLDERS = {"\ue000": DAY, "\ue001": HOUR, "\ue002": SIXTIETH}  # of private use
_DAY_MARK, _HOUR_MARK, _SIXTIETH_MARK = _PLACEHOLDERS


def dated_codes(texts: Sequence[str]) -> tuple[list[Tokens], dict[str, Pool]] | None:
    """Return the tokens of codes with dates, such as `20240301-0007`, and pools for new ones.

    If all dates are followed by a time of day, such as `20240301235958`, it stays one. Return None
    if not all texts are such codes.
    """
    matches = [list(_DAY.finditer(text)) for text in texts]
    counts = {len(each) for each in matches}
    if len(texts) < MIN_CODES or 0 in counts:
        return None
    if len(counts) > 1:
        matches = [each[:1] for each in matches]
    every = [match for each in matches for match in each]
    separators = {match[2] for match in every}
    if len(separators) > 1:
        return None
    try:
        days = [date(int(match[1]), int(match[3]), int(match[4])).toordinal() for match in every]
    except ValueError:
        return None
    times = [[_TIME.match(match.string, match.end()) for match in each] for each in matches]
    with_times = all(time for each in times for time in each)
    marked, replaced = [], []
    for text, own, own_times in zip(texts, matches, times, strict=True):
        end, parts, values = 0, [], []
        for match, time in zip(own, own_times, strict=True):
            parts += [text[end : match.start()], _DAY_MARK]
            values.append(match[0])
            end = match.end()
            if with_times and time is not None:
                mark = time[3] + _SIXTIETH_MARK
                parts.append(time[1] + _HOUR_MARK + mark + mark)
                values += [time[2], time[4], time[5]]
                end = time.end()
        marked.append("".join([*parts, text[end:]]))
        replaced.append(iter(values))
    tokens = [
        tuple(
            Token(next(values), _PLACEHOLDERS[token.text]) if token.text in _PLACEHOLDERS else token
            for token in code
        )
        for code, values in zip(code_tokens(marked), replaced, strict=True)
    ]
    low, high = np.quantile(days, (0.01, 0.99)).astype(int)  # the extreme ones could identify a row
    form = separators.pop().join(("%Y", "%m", "%d"))
    step = timedelta(days=1 + (int(high) - int(low)) // MAX_DAYS)
    first, count = date.fromordinal(int(low)), 1 + (int(high) - int(low)) // step.days
    dates = tuple(f"{first + i * step:{form}}" for i in range(count))
    return tokens, {DAY: dates, **(_POOLS if with_times else {})}
