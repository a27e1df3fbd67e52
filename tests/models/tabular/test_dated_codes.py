"""Identifiers with dates and times of day, such as names of files."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest

from models.tabular.identifiers.kinds import fit_codes

FIRST = datetime(2023, 5, 1, 7, 3, 9)  # noqa: DTZ001
TIMES = [FIRST + timedelta(hours=5 * i, seconds=37 * i) for i in range(200)]


def sample(texts: Sequence[str]) -> list[str]:
    codes = fit_codes(texts, 0)
    assert codes is not None
    return [str(text) for text in codes.texts(1, 2, np.arange(300)).to_pylist()]


@pytest.mark.parametrize(
    "form",
    ["IMG_%Y%m%d_%H%M%S.jpg", "%Y%m%d%H%M%S_x", "log-%Y-%m-%dT%H:%M:%SZ.txt", "%Y.%m.%d %H.%M.%S"],
)
def test_new_codes_have_valid_times_after_their_dates(form: str) -> None:
    codes = sample([time.strftime(form) for time in TIMES])
    assert len(set(codes)) > 250
    times = [datetime.strptime(code, form) for code in codes]  # noqa: DTZ007 - raises
    assert {time.hour for time in times} == set(range(24))


def test_new_codes_have_several_valid_dates_and_times() -> None:
    form = "%Y%m%d%H%M%S"
    texts = [f"{time:{form}}_{time + timedelta(minutes=7):{form}}_VX5.json" for time in TIMES]
    for code in sample(texts):
        first, second, end = code.split("_")
        assert end == "VX5.json"
        assert all(datetime.strptime(text, form) for text in (first, second))  # noqa: DTZ007


def test_numbers_after_dates_that_are_not_times_stay_numbers() -> None:
    texts = [f"{time:%Y%m%d}-{700_000 + 931 * i:06}" for i, time in enumerate(TIMES)]
    assert max(int(code[9:11]) for code in sample(texts)) > 24
