"""Selection of the reader for an uploaded table, by its first bytes."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from core.datasets.data_quality import Issue
from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.datasets.source import SourceFile
from core.datasets.stream import read_up_to
from core.datasets.table_names import is_workbook
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.tabular.upload.files.compressed_table import (
    COMPRESSIONS,
    CompressedOpener,
    PlainOpener,
    extract,
    inspect_workbook,
    open_zip_entry,
    zip_entries,
)
from modalities.tabular.upload.files.csv_reader import open_csv
from modalities.tabular.upload.files.json_reader import open_json
from modalities.tabular.upload.files.parquet_arrow_reader import open_arrow, open_parquet
from modalities.tabular.upload.files.text_file import Opener, open_text_file
from modalities.tabular.upload.files.workbook_reader import open_workbook
from modalities.tabular.upload.raw_table import RawTable, table_error
from modalities.tabular.upload.read_options import ReadOptions
from modalities.tabular.upload.types.missing_words import MissingWords

EXTRACTED = "extracted"  # name of a file from a zip archive
_TABLE_SIGNATURES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_ARFF = re.compile(rb"^@relation\s", re.IGNORECASE | re.MULTILINE)
# Records of literature in lines with a tag: Web of Science, RIS (Zotero), PubMed and BibTeX.
_REFERENCES = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:FN [^\r\n]*[\r\n]+VR |TY  - [A-Z]{3,5}\s|PMID- *\d|"
    rb"@[a-zA-Z]+\{[^\s,]*,\s)"
)


def open_table(
    file: SourceFile, limits: Limits, exclude: frozenset[str], options: ReadOptions, folder: Path
) -> RawTable:
    """Open a table of any supported format.

    Columns of `exclude` are skipped if their type cannot be learned. A workbook or Parquet file
    in a zip archive is extracted to `folder`; the caller must remove EXTRACTED.

    Raises:
        DatasetUnreadable: The file cannot be read as a table.
    """
    table = _open(file, limits, exclude, options, folder)
    words, read = MissingWords(options.missing), {**table.read, "missing": list(options.missing)}

    def batches() -> Iterator[pa.RecordBatch]:
        yield from words.replace(table.batches)
        table.issues.extend(words.issues())
        read["missing"] = words.words()

    return replace(table, batches=batches(), read=read, missing_words=words.by_column)


def _open(
    file: SourceFile,
    limits: Limits,
    exclude: frozenset[str],
    options: ReadOptions,
    folder: Path | None,
) -> RawTable:
    """Open a file; `folder` is None for one that was extracted."""
    with file.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise table_error("table_empty", f"{printable(file.name)} is empty.")
    if head.startswith(b"PAR1"):
        return open_parquet(file.path, file.name, limits, exclude)
    if head.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff")):
        stream_format = not head.startswith(b"ARROW1")
        return open_arrow(file.path, file.name, limits, exclude, stream=stream_format)
    file_type = detect_file_type(head)
    if file_type == "ole":
        return open_workbook(file, limits, options, 0)
    if file_type == "zip":
        return _open_zip(file, limits, exclude, options, folder)
    if file_type in COMPRESSIONS:
        opener = CompressedOpener(file, limits, file_type)
        return _open_text(file.name, opener, limits, options)
    if file_type or unsupported_file_type(head):
        raise _unsupported(file.name, unsupported_file_type(head) or f"{file_type} file")
    return _open_text(file.name, PlainOpener(file), limits, options)


def _open_zip(
    file: SourceFile,
    limits: Limits,
    exclude: frozenset[str],
    options: ReadOptions,
    folder: Path | None,
) -> RawTable:
    if is_workbook(list(zip_entries(file))):
        return open_workbook(file, limits, options, inspect_workbook(file, limits))
    if folder is None:
        raise _unsupported(file.name, "zip archive inside another one")
    issues: list[Issue] = []
    opener, name = open_zip_entry(file, limits, issues)
    if _is_binary(opener):
        path = folder / EXTRACTED
        extract(opener, path)
        table = _open(SourceFile(path, name), limits, exclude, options, None)
    else:
        table = _open_text(name, opener, limits, options)
    table.issues[:0] = issues
    return table


def _is_binary(opener: Opener) -> bool:
    """Return True for a workbook, a Parquet or Arrow file, or a compressed text."""
    with opener() as reader:
        head = read_up_to(reader, HEAD_BYTES)
    return head.startswith(_TABLE_SIGNATURES) or bool(detect_file_type(head))


def _open_text(name: str, opener: Opener, limits: Limits, options: ReadOptions) -> RawTable:
    with opener() as reader:
        head = read_up_to(reader, HEAD_BYTES)
    file_type = detect_file_type(head) or unsupported_file_type(head)
    if file_type and name:
        raise _unsupported(name, f"compressed {file_type}")
    text = open_text_file(name, opener, options.encoding)
    if _ARFF.search(head):
        raise _unsupported(name, "Weka ARFF file")
    if _REFERENCES.match(head):
        raise _unsupported(name, "list of references with tags")
    start = "".join(head.decode(text.encoding, "replace").lstrip("\ufeff").split())
    if start.startswith(("{", "[{", "[[")) or start in {"[", "[]"}:
        return open_json(text, limits)
    return open_csv(text, limits, options)


def _unsupported(name: str, description: str) -> DatasetUnreadable:
    message = (
        f"{printable(name)} is a {description}; send CSV, NDJSON, JSON, Parquet, Arrow or Excel."
    )
    return unreadable_error("table_unreadable", message, pointer=file_pointer(name))
