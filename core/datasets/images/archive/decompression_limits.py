"""How much may come out of how little."""

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable
from core.settings import MIB, Limits

RATIO_FREE_BYTES = MIB  # harmless however well it was packed


def too_many_entries_error(name: str, limits: Limits) -> DatasetUnreadable:
    message = (
        f"{printable(name)} holds more than {limits.archive_entries:,} files; make several sets"
    )
    return unreadable_error("archive_too_many", message, pointer=file_pointer(name))


def bomb_error(name: str, message: str) -> DatasetUnreadable:
    return unreadable_error(
        "archive_bomb", f"{printable(name)} {message}", pointer=file_pointer(name)
    )


def total_size_error(name: str, limits: Limits) -> DatasetUnreadable:
    return bomb_error(name, f"unpacks to more than {limits.archive_bytes:,} bytes in all")


def entry_size_error(name: str, limits: Limits) -> DatasetUnreadable:
    return bomb_error(
        name, f"unpacks to more than {limits.archive_entry_bytes:,} bytes, too many for one"
    )


def ratio_error(name: str, limits: Limits) -> DatasetUnreadable:
    return bomb_error(
        name, f"unpacks to more than {limits.archive_ratio} times its size, as no images do"
    )
