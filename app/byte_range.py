"""The Range header (RFC 9110, 14.2): one range of bytes."""

import re

from core.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte, both included; None for all of it, also where the header is of another
    form, as the standard asks. Raises RangeNotSatisfiable."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":  # so many from the end
        wanted = int(match[2])
        first, last = (max(0, size - wanted) if wanted else size), size - 1
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiable(
            f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return first, last
