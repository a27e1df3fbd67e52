"""Names of table files, on their own and in archives."""

from collections.abc import Sequence
from pathlib import PurePosixPath

COMPRESSION_SUFFIXES = frozenset({".gz", ".bz2", ".xz", ".zst"})
TEXT_SUFFIXES = frozenset(
    {".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".json", ".ndjson", ".jsonl", ".psv"}
)
WORKBOOK_SUFFIXES = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
TABLE_SUFFIXES = (
    TEXT_SUFFIXES | WORKBOOK_SUFFIXES | {".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows"}
)
# Parts of the zip archives that are the workbooks of spreadsheet programs.
_WORKBOOK_ENTRIES = frozenset({"xl/workbook.xml", "xl/workbook.bin", "content.xml"})
# Files of archives that accompany a table or pictures; a table may have the same suffix.
_DOCUMENTS = frozenset(
    {"readme", "license", "licence", "copying", "changelog", "citation", "metadata", "dataset"}
)
_SECONDARY_SUFFIXES = frozenset({".txt", ".json"})


def table_suffix(name: str) -> str:
    """Return the suffix in lower case, without that of a compression: `.csv` of `a.csv.gz`."""
    path = PurePosixPath(name)
    if path.suffix.lower() in COMPRESSION_SUFFIXES:
        path = path.with_suffix("")
    return path.suffix.lower()


def is_workbook(entries: Sequence[str]) -> bool:
    """Return True if the entries of a zip archive are those of a workbook."""
    return not _WORKBOOK_ENTRIES.isdisjoint(entries)


def content_entries(entries: Sequence[str]) -> list[str]:
    """Return the entries without folders and without the files that operating systems add."""
    return [
        name
        for name in entries
        if not name.endswith("/")
        and not name.startswith("__MACOSX/")
        and not PurePosixPath(name).name.startswith(".")
        and PurePosixPath(name).name not in {"Thumbs.db", "desktop.ini"}
    ]


def table_entries(entries: Sequence[str]) -> list[str]:
    """Return the entries of an archive that are tables, by their names.

    A text or JSON file counts only if nothing else is a table and it is not a document.
    """
    content = content_entries(entries)
    tables = [name for name in content if table_suffix(name) in TABLE_SUFFIXES]
    primary = [name for name in tables if table_suffix(name) not in _SECONDARY_SUFFIXES]
    if primary:
        return primary
    return [n for n in tables if PurePosixPath(n).stem.lower() not in _DOCUMENTS]
