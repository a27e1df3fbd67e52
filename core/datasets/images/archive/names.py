"""Which names an archive's entries may have: a name is only ever a key, and still must be sane."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable, FieldError

MAX_NAME_BYTES = 4_000
MAX_DEPTH = 32

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def decode_name(raw: bytes, *, utf8: bool = False) -> str:
    """UTF-8, which most tools write whether they say so or not; else the old code page of zip."""
    if len(raw) > MAX_NAME_BYTES:
        raise _bad(raw[:200].decode("cp437"), f"is a name of more than {MAX_NAME_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if utf8:
            raise _bad(raw.decode("cp437"), "is a name that is not valid UTF-8") from error
        return raw.decode("cp437")


def safe_name(raw: str) -> str:
    """`raw` in normal form, relative, with "/" between levels. Raises for one that leads outside.

    Backslashes separate, as in archives from Windows; "./" and doubled slashes go.
    """
    name = unicodedata.normalize("NFC", raw).replace("\\", "/")
    if _CONTROL.search(name):
        raise _bad(raw, "has control characters in its name")
    levels = [level for level in name.split("/") if level not in {"", "."}]
    if name.startswith("/") or _DRIVE.match(name) or ".." in levels:
        raise _bad(raw, "leads out of the archive; paths must be relative and without '..'")
    if len(levels) > MAX_DEPTH:
        raise _bad(raw, f"lies more than {MAX_DEPTH} folders deep")
    return "/".join(levels)


def check_duplicates(names: Sequence[str]) -> None:
    """Raise when two names are one on a file system that ignores case."""
    keys = np.fromiter((hash(_folded(name)) for name in names), np.int64, len(names))
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    pairs = [(names[order[i]], names[order[i + 1]]) for i in same[:1000]]
    faults = [
        FieldError(
            file_pointer(second),
            "archive_duplicate",
            f"{printable(second)} and {printable(first)} are the same name",
        )
        for first, second in pairs
        if _folded(first) == _folded(second)
    ]
    if faults:
        detail = f"{faults[0].message}, at least where case is ignored; rename one of each pair"
        raise DatasetUnreadable(detail, code="archive_duplicate", field_errors=faults[:20])


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _bad(name: str, message: str) -> DatasetUnreadable:
    return unreadable_error(
        "unsafe_archive_path", f"{printable(name)} {message}", pointer=file_pointer(name)
    )
