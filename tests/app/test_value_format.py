"""Numbers as text on pages and charts."""

import pytest

from app.value_format import format_rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.123456, "0.1235"),
        (9999.4, "9999"),
        (25012.0, "25,010"),
        (-1161363.0, "-1,161,000"),
        (3e15, "3e+15"),
    ],
)
def test_large_values_have_no_exponent(value: float, text: str) -> None:
    assert format_rounded(value) == text
