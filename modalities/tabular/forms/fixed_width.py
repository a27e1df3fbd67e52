"""Numbers at fixed positions of texts, such as those of `2024-01-31`."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def read_numbers(
    texts: pa.StringArray, literals: Sequence[str], widths: Sequence[int]
) -> tuple[list[NDArray[np.int64]], NDArray[np.bool_]] | None:
    """Return the numbers of each width, each of shape (N,), and the mask of texts that fit.

    The numbers are between the literals, of which there is one more. Texts are read as an array of
    bytes, which is faster than a regular expression; None if they differ in length, are missing or
    are not ASCII.
    """
    width = sum(widths) + sum(map(len, literals))
    if len(texts) == 0 or texts.null_count or not "".join(literals).isascii():
        return None
    if not pc.all(pc.equal(pc.binary_length(texts), width)).as_py():
        return None
    start = int(np.frombuffer(texts.buffers()[1], np.int32)[texts.offset])
    data = np.frombuffer(texts.buffers()[2], np.uint8)[start : start + width * len(texts)]
    table = data.reshape(len(texts), width)
    fits, numbers, position = np.ones(len(texts), bool), [], 0
    for literal, digits in zip(literals, [*widths, 0], strict=True):
        for character in literal.encode():
            fits &= table[:, position] == character
            position += 1
        value = np.zeros(len(texts), np.int64)
        for _ in range(digits):
            digit = table[:, position] - 48  # wraps around for characters before "0"
            fits &= digit < 10
            value = value * 10 + digit
            position += 1
        numbers.append(value)
    return numbers[: len(widths)], fits
