"""Errors of archives that exceed the decompression limits (zip bombs)."""

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable
from core.limits import MIB, Limits

RATIO_FREE_BYTES = MIB  # up to this decompressed size, any compression ratio is accepted


def too_many_entries_error(name: str, limits: Limits) -> DatasetUnreadable:
    message = (
        f"{printable(name)} holds too many files; the maximum is {limits.archive_entries:,}. "
        "Split it into several datasets."
    )
    return unreadable_error("archive_too_many", message, pointer=file_pointer(name))


def bomb_error(name: str, message: str) -> DatasetUnreadable:
    return unreadable_error(
        "archive_bomb", f"{printable(name)} {message}.", pointer=file_pointer(name)
    )


def total_size_error(name: str, limits: Limits) -> DatasetUnreadable:
    return bomb_error(name, f"decompresses to more than {limits.archive_bytes:,} bytes, the limit")


def entry_size_error(name: str, limits: Limits) -> DatasetUnreadable:
    return bomb_error(
        name,
        f"decompresses to more than {limits.archive_entry_bytes:,} bytes, the limit of a single "
        "file",
    )


def ratio_error(name: str, limits: Limits) -> DatasetUnreadable:
    return bomb_error(
        name,
        f"decompresses to more than {limits.archive_ratio} times its size, the limit",
    )
