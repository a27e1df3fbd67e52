"""Times of day as whole numbers without leading zeros, such as 5 and 1657."""

import numpy as np
import pyarrow as pa
import pytest

from modalities.tabular.forms.clock_numbers import clock_number_formats
from modalities.tabular.forms.moment_formats import parse_format
from tests.modalities.tabular.conftest import Read
from tests.modalities.tabular.factories import build_csv

RNG = np.random.default_rng(2)
MINUTES = RNG.choice(1_440, 400, replace=False)
CLOCK = [int(minute) // 60 * 100 + int(minute) % 60 for minute in MINUTES if minute]


@pytest.mark.parametrize(
    ("format", "values"),
    [
        ("hmm", [*CLOCK, 0]),
        ("kmm", [*CLOCK, 2400]),
        ("hmm.0", [f"{n}.0" for n in CLOCK]),
        ("hmmss", [n * 100 + n * 7 % 60 for n in CLOCK]),
        ("kmmss", [240_000, *(n * 100 + n * 7 % 60 for n in CLOCK)]),
    ],
)
def test_times_without_leading_zeros_are_times_in_the_same_form(
    format: str, values: list[int | str], read: Read
) -> None:
    table = read(build_csv({"time": values, "n": [k % 9 for k in range(len(values))]}))
    assert (table["time"].type, table["time"].format) == ("time", format)
    assert table.preview("time") == [str(value) for value in values]
    assert table.issue("ambiguous_date_format") is None


@pytest.mark.parametrize(
    "numbers",
    [
        [*CLOCK, 1260],  # no time
        [*CLOCK, 2401],
        [*CLOCK, 0, 2400],  # two forms of midnight
        CLOCK[:60],  # too few to be beyond doubt
        [100 * plot + row for plot in range(1, 20) for row in range(1, 31)],
        [50 * k for k in range(48)],
        list(range(60)),
    ],
)
def test_other_numbers_are_not_times(numbers: list[int]) -> None:
    assert clock_number_formats([str(n) for n in numbers]) == []


def test_numbers_with_leading_zeros_are_another_form() -> None:
    assert clock_number_formats([f"{n:05}" for n in CLOCK]) == []


def test_a_time_in_another_form_is_not_read() -> None:
    texts = ["5", "005", "1657", "1660", "2400", "16:57", "1657.0", ""]
    for format, expected in {
        "hmm": ["5", "1657"],
        "kmm": ["5", "1657", "2400"],
        "hmm.0": ["1657.0"],
    }.items():
        form = parse_format(format)
        assert form is not None
        values = form.parse(pa.array(texts))
        assert [text for text in form.write(values).to_pylist() if text] == expected


def test_numbers_of_rooms_are_not_times(read: Read) -> None:
    rooms = [100 * (1 + k % 19) + k * 7 % 60 for k in range(300)]
    table = read(build_csv({"room": rooms, "departure": rooms}))
    assert [table[name].type for name in ("room", "departure")] == ["integer", "time"]
