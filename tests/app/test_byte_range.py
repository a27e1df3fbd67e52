"""The Range header of RFC 9110."""

import pytest

from app.byte_range import parse_byte_range
from core.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=2-", (2, 9)),
        ("bytes=2-99", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=5-2", None),  # invalid: the whole file is sent
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
    ],
)
def test_a_range_header_selects_bytes_of_a_ten_byte_file(
    header: str | None, expected: tuple[int, int] | None
) -> None:
    assert parse_byte_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_the_file_is_rejected_with_its_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as rejected:
        parse_byte_range(header, 10)
    assert rejected.value.headers == {"Content-Range": "bytes */10"}
