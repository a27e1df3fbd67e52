"""The Range header, after RFC 9110."""

import pytest

from app.byte_range import parse_byte_range
from core.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=2-", (2, 9)),
        ("bytes=2-99", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=5-2", None),  # not a range at all: all of it is sent
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
    ],
)
def test_a_range_of_ten_bytes(header: str | None, found: tuple[int, int] | None) -> None:
    assert parse_byte_range(header, 10) == found


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_what_lies_outside_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        parse_byte_range(header, 10)
    assert refused.value.headers == {"Content-Range": "bytes */10"}
