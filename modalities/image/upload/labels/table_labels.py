"""Labels from the tables of an archive. Tables with the same columns are read as one."""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.archive_index import is_hidden
from modalities.image.upload.folder_layout import FolderLayout
from modalities.image.upload.image_lists import ImageLists
from modalities.image.upload.image_names import ImageNames
from modalities.image.upload.labels.box_annotations import describe_boxes, parse_json
from modalities.image.upload.labels.class_name_files import names_classes
from modalities.image.upload.labels.label_columns import (
    NAMES_NO_IMAGE,
    Columns,
    NoLabels,
    find_columns,
)
from modalities.image.upload.labels.label_files import TABLE_SUFFIXES, read_tables
from modalities.image.upload.labels.label_table import LabelTable, Row
from modalities.image.upload.labels.labels import UNLABELED, LabelEncoder
from modalities.image.upload.labels.split_names import role_of_name
from modalities.image.upload.options import ImageOptions

_DOCUMENTED = frozenset({"labels.csv", "labels.json"})
_LABEL_FILE = re.compile(r"(image_?)?labels\.(csv|tsv|txt|jsonl?)", re.IGNORECASE)
_NEVER_LABELS = re.compile(
    r"(readme|licen[cs]e|changelog|requirements|copying|classes|class_names|label_map)\b|.*submission"
    r"|(.*[^a-z])?predictions?\b",
    re.IGNORECASE,
)
LISTS_IMAGES = "lists images without labels"
_HEAD_BYTES = 64 * 1024
_MAX_DOCUMENTS = 50
_MAX_XML = 5
_MAX_EXAMPLES = 5
_MIN_COVERAGE = 0.5  # of the images that are not in a test part
_MIN_COVERAGE_NEXT_TO_FOLDERS = 0.9  # if the folders label all images
_MIN_NAMED = 10  # images suffice if a column is named for file names


def is_documented_name(name: str) -> bool:
    return posixpath.basename(name).lower() in _DOCUMENTED


def select_documents(
    names: Sequence[str], ignored: Sequence[int], sidecars: set[int], chosen: str | None
) -> list[int]:
    """Return the indices of files that may list labels; only `chosen` if a client chose one."""
    tables = [i for i in ignored if posixpath.splitext(names[i])[1].lower() in TABLE_SUFFIXES]
    xml = {i for i in tables if names[i].lower().endswith(".xml")}
    if len(xml) > _MAX_XML:  # of one image each
        tables = [i for i in tables if i not in xml]
    if chosen is not None:
        exact = [i for i in tables if names[i] == chosen]
        return exact or [i for i in tables if posixpath.basename(names[i]) == chosen]
    documents = [
        i
        for i in tables
        if i not in sidecars
        and not _NEVER_LABELS.match(posixpath.basename(names[i]))
        and not is_hidden(names[i])
    ]
    documents.sort(key=lambda i: (not is_documented_name(names[i]), names[i].count("/"), i))
    return sorted(documents[:_MAX_DOCUMENTS])


@dataclass
class TableLabels:
    """Labels of the images that tables with the same columns list."""

    encoder: LabelEncoder
    codes: NDArray[np.int32]
    listed: NDArray[np.bool_]
    is_test: NDArray[np.bool_]
    names_part: NDArray[np.bool_]  # False if the tables do not say whether an image is for tests
    column: str
    has_named_path: bool
    names: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)  # examples of paths without an image
    n_ghosts: int = 0
    contradictory: dict[int, str] = field(default_factory=dict)

    def issues(self) -> list[Issue]:
        table = printable(self.names[0])
        issues = []
        if self.n_ghosts:
            hint = f"Paths in {table} that are not in the archive. Check the paths."
            issues.append(
                Issue("listed_image_missing", "warning", self.n_ghosts, tuple(self.ghosts), hint)
            )
        if self.contradictory:
            hint = f"Images that {table} lists with two labels were left out."
            names = tuple(self.contradictory.values())[:_MAX_EXAMPLES]
            issues.append(
                Issue("contradictory_label", "warning", len(self.contradictory), names, hint)
            )
        return issues


@dataclass
class TableSearch:
    """Result of the search for tables with labels."""

    candidates: list[TableLabels] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # name to a predicate about the file
    errors: dict[str, DatasetUnreadable] = field(default_factory=dict)  # of some failures
    boxes: dict[str, str] = field(default_factory=dict)  # format to an example
    lists: ImageLists = field(default_factory=ImageLists)
    naming_images: set[str] = field(default_factory=set)  # invalid files with names of images

    def best(self, layout: FolderLayout) -> TableLabels | None:
        """Return the labels that cover the most images, None if all cover too few."""
        expected = layout.select([folder.role == "train" for folder in layout.folders])
        expected &= ~layout.is_mask
        n_expected = max(1, int(expected.sum()))
        in_folders = layout.select([folder.label is not None for folder in layout.folders])
        folders_suffice = layout.has_several_labels and bool(in_folders[expected].all())
        in_use = {folder.path for folder in layout.folders}
        usable = []
        for labels in self.candidates:
            coverage = int((labels.listed & expected).sum()) / n_expected
            if layout.has_several_labels and len(labels.encoder.sorted_names()) < 2:
                reason = "gives all images the same label"
                self.failures |= dict.fromkeys(labels.names, reason)
                continue
            named = labels.has_named_path and int(labels.listed.sum()) >= _MIN_NAMED
            folder, _, file = labels.names[0].rpartition("/")
            is_label_file = folder not in in_use and _LABEL_FILE.fullmatch(file)
            if (
                folders_suffice
                and coverage < _MIN_COVERAGE_NEXT_TO_FOLDERS
                and not (is_label_file and coverage >= _MIN_COVERAGE)
            ):
                reason = "lists only some of the images; the folders label all of them"
                self.failures |= dict.fromkeys(labels.names, reason)
            elif coverage >= _MIN_COVERAGE or named:
                usable.append((is_documented_name(labels.names[0]), coverage, labels))
            else:
                reason = f"lists only {int(labels.listed.sum()):,} of the images"
                self.failures |= dict.fromkeys(labels.names, reason)
        return max(usable, key=lambda item: item[:2])[2] if usable else None


def search_tables(
    archive: Archive,
    documents: Sequence[int],
    images: Sequence[str],
    layout: FolderLayout,
    options: ImageOptions,
    limits: Limits,
) -> TableSearch:
    """Read the tables in the files `documents`, which are indices into the archive's names."""
    if not documents:
        return TableSearch()
    reader = _TableReader(images, layout, options, limits)
    for i, file in archive.open_members(documents):
        reader.read(read_up_to(file, limits.archive_entry_bytes + 1), archive.names[i])
    reader.search.candidates = list(reader.groups.values())
    return reader.search


class _TableReader:
    """Reads the tables of files. Those with the same columns become one group."""

    def __init__(
        self, images: Sequence[str], layout: FolderLayout, options: ImageOptions, limits: Limits
    ) -> None:
        self.search = TableSearch()
        self.groups: dict[tuple[str, ...], TableLabels] = {}
        self._images = ImageNames(images, layout.is_mask.tolist())
        self._folder_labels = {folder.label for folder in layout.folders}
        self._options, self._limits = options, limits

    def read(self, content: bytes, name: str) -> None:
        """Add the labels in one file to the groups, or record why there are none."""
        failures = self.search.failures
        try:
            self._read_document(content, name)
        except NoLabels as reason:
            failures[name] = str(reason)
            if str(reason) == NAMES_NO_IMAGE and self._has_lines_of_images(content):
                failures[name] = "names images, but its lines are not those of a table"
                self.search.naming_images.add(name)
        except DatasetUnreadable as error:
            self.search.errors[name] = error
            if self._has_lines_of_images(content):
                self.search.naming_images.add(name)
            failures[name] = error.detail.removeprefix(printable(name)).strip(" .")

    def _has_lines_of_images(self, content: bytes) -> bool:
        """Return True if most of the first lines of a text start with the name of an image."""
        lines = content[:_HEAD_BYTES].decode("utf-8", errors="replace").splitlines()[:-1]
        first = [line.split()[0].strip(",;") for line in lines if line.strip()]
        found = sum(self._images.find(word, "") is not None for word in first)
        return found > 0.5 * max(1, len(first))

    def _read_document(self, content: bytes, name: str) -> None:
        if name.lower().endswith(".json"):
            document: Any = parse_json(content)
            if kind := describe_boxes(document):
                self.search.boxes.setdefault(kind, name)
                return

        def is_image(path: str) -> bool:
            return self._images.find(path, name) is not None

        reasons = []
        tables = read_tables(content, name, is_image, self._limits)
        for table in tables:
            try:
                self._read_labels(table, is_image)
            except NoLabels as reason:
                reasons.append(reason)
        if reasons and len(reasons) == len(tables):
            raise reasons[0]

    def _read_labels(self, table: LabelTable, is_image: Callable[[str], bool]) -> None:
        _reject_class_names(table, self._folder_labels)
        if len(table.header) == 1 and self.search.lists.add(table, self._images):
            raise NoLabels(LISTS_IMAGES)
        columns = find_columns(table, is_image, self._options.label_column, self._limits)
        label = "" if columns.label is None else table.header[columns.label]
        key = (label, *(table.header[i] for i in columns.one_hot))
        n = len(self._images)
        group = self.groups.get(key) or TableLabels(
            encoder=LabelEncoder(self._limits),
            codes=np.full(n, UNLABELED, np.int32),
            listed=np.zeros(n, bool),
            is_test=np.zeros(n, bool),
            names_part=np.zeros(n, bool),
            column=label or "of each label",
            has_named_path=columns.has_named_path,
        )
        _add_rows(group, table, columns, self._images)
        group.names.append(table.name)
        self.groups[key] = group


def _reject_class_names(table: LabelTable, folder_labels: set[str | None]) -> None:
    """Raise NoLabels for a list of the names of classes, whose numbers are also file names."""
    rows = table.sample()
    if names_classes(table):
        raise NoLabels("names classes, not images")
    for i in range(len(table.header)):
        keys = {row[i] for row in rows}
        if len(keys) == len(rows) > 1 and len(keys & folder_labels) >= 0.5 * len(keys):
            raise NoLabels(
                "names the labels of the folders, not images; to use other names, set `class_names`"
            )


def _add_rows(group: TableLabels, table: LabelTable, columns: Columns, images: ImageNames) -> None:
    role = role_of_name(table.part_name)
    for row in table.read_rows():
        path = row[columns.path] or ""
        index = images.find(path, table.name)
        if index is None:
            group.n_ghosts += 1
            group.ghosts = [*group.ghosts, printable(path)][:_MAX_EXAMPLES]
            continue
        label = _label_of(row, columns, table.header)
        code = group.encoder.encode(label, where=path) if label else UNLABELED
        if group.listed[index] and group.codes[index] != code:
            group.contradictory[index] = printable(path)
        group.listed[index], group.codes[index] = True, code
        split = columns.part_of(row)
        # `train.csv` may also list images in a folder `val`.
        if part := split or (role if role == "test" else None):
            group.names_part[index], group.is_test[index] = True, part == "test"
    group.listed[list(group.contradictory)] = False


def _label_of(row: Row, columns: Columns, header: Sequence[str]) -> str | None:
    if columns.label is not None:
        label = row[columns.label]
        return label if label and label.strip() else None
    ones = [i for i in columns.one_hot if (row[i] or "").lower() in {"1", "1.0", "true"}]
    return header[ones[0]].strip() if len(ones) == 1 else None
