"""How much may come out of how little."""

from core.datasets.faults import pointer_to, shown, unreadable
from core.errors import UnreadableDataset
from core.settings import MIB, Limits

RATIO_FREE_BYTES = MIB  # harmless however well it was packed


def too_many(name: str, limits: Limits) -> UnreadableDataset:
    message = f"{shown(name)} holds more than {limits.archive_entries:,} files; make several sets"
    return unreadable("archive_too_many", message, pointer=pointer_to(name))


def bomb(name: str, message: str) -> UnreadableDataset:
    return unreadable("archive_bomb", f"{shown(name)} {message}", pointer=pointer_to(name))


def over_total(name: str, limits: Limits) -> UnreadableDataset:
    return bomb(name, f"unpacks to more than {limits.archive_bytes:,} bytes in all")


def over_entry(name: str, limits: Limits) -> UnreadableDataset:
    return bomb(
        name, f"unpacks to more than {limits.archive_entry_bytes:,} bytes, too many for one"
    )


def over_ratio(name: str, limits: Limits) -> UnreadableDataset:
    return bomb(
        name, f"unpacks to more than {limits.archive_ratio} times its size, as no images do"
    )
