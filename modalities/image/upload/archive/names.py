"""Validation of the names of archive entries.

Names are only keys and never paths on disk. Unsafe names are rejected as a precaution.
"""

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
    """Decode as UTF-8, or else as CP437, the original encoding of zip names.

    Many tools write UTF-8 without setting zip's UTF-8 flag. `utf8` is that flag: if it is set,
    invalid UTF-8 raises DatasetUnreadable.
    """
    if len(raw) > MAX_NAME_BYTES:
        raise _unsafe(
            raw[:200].decode("cp437"), f"has a name of more than {MAX_NAME_BYTES:,} bytes"
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if utf8:
            raise _unsafe(raw.decode("cp437"), "has a name that is not valid UTF-8") from error
        return raw.decode("cp437")


def is_legacy(raw: bytes) -> bool:
    """Return True for a name that is not UTF-8, so that `decode_name` assumes CP437."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def safe_name(raw: str) -> str:
    """Return `raw` as a relative NFC name with "/" between levels.

    Backslashes become slashes, as archives from Windows use them; "./" and repeated slashes are
    removed. Raises DatasetUnreadable if the name leads out of the archive.
    """
    name = unicodedata.normalize("NFC", raw).replace("\\", "/")
    if _CONTROL.search(name):
        raise _unsafe(raw, "has control characters in its name")
    levels = [level for level in name.split("/") if level not in {"", "."}]
    if name.startswith("/") or _DRIVE.match(name) or ".." in levels:
        raise _unsafe(raw, "leads out of the archive; paths must be relative and without '..'")
    if len(levels) > MAX_DEPTH:
        raise _unsafe(raw, f"is nested too deep; the maximum is {MAX_DEPTH} levels")
    return "/".join(levels)


def check_duplicates(names: Sequence[str]) -> None:
    """Raise DatasetUnreadable if two names are equal. Names that differ in case are different."""
    # Sorting 64-bit hashes takes less memory than a set of names. Equal hashes are verified below.
    keys = np.fromiter((hash(name) for name in names), np.int64, len(names))
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    pairs = [(names[order[i]], names[order[i + 1]]) for i in same[:1000]]
    errors = [
        FieldError(
            file_pointer(second),
            "archive_duplicate",
            f"{printable(second)} is in the archive twice.",
        )
        for first, second in pairs
        if first == second
    ]
    if errors:
        detail = f"{errors[0].message} Remove or rename one of each pair."
        raise DatasetUnreadable(detail, code="archive_duplicate", field_errors=errors[:20])


def _unsafe(name: str, problem: str) -> DatasetUnreadable:
    return unreadable_error(
        "unsafe_archive_path", f"{printable(name)} {problem}.", pointer=file_pointer(name)
    )
