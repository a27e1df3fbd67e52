"""Sources of labels that an upload offers, from which a client can choose."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.folder_layout import FolderLayout
from modalities.image.upload.image_names import ImageNames
from modalities.image.upload.labels.file_name_labels import labels_in_file_names
from modalities.image.upload.labels.label_columns import NoLabels, find_label_columns
from modalities.image.upload.labels.label_files import read_tables

_MAX_TABLES = 10
_MAX_COLUMNS = 20
_MAX_EXAMPLES = 5


class LabelChoice(NamedTuple):
    """Values of options, with the labels that they give (modalities.image.options.LabelSource)."""

    labels_from: str | None
    label_column: str | None
    folder_level: int | None
    labels: int
    examples: list[str]

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        labels_from: str | None,
        *,
        label_column: str | None = None,
        folder_level: int | None = None,
    ) -> "LabelChoice":
        examples = [printable(label) for label in labels[:_MAX_EXAMPLES]]
        return cls(labels_from, label_column, folder_level, len(labels), examples)


def find_label_choices(
    archive: Archive,
    documents: Sequence[int],
    layout: FolderLayout,
    images: Sequence[str],
    limits: Limits,
) -> list[LabelChoice]:
    """Return the choices. `documents` are the indices of files that may list labels."""
    choices = list(_folder_choices(layout))
    if names := {label for label in labels_in_file_names(images, limits) if label}:
        choices.append(LabelChoice.of(sorted(names), "file_names"))
    masks = layout.is_mask.tolist()
    choices += _table_choices(archive, documents[:_MAX_TABLES], images, masks, limits)
    return [*choices, LabelChoice.of([], "none")]


def _folder_choices(layout: FolderLayout) -> Iterator[LabelChoice]:
    levels = [None, *range(1, layout.depth + 1)] if layout.depth > 1 else [None]
    for level in levels if layout.has_labels else ():
        labels = {label for folder in layout.folders if (label := folder.label_at(level))}
        yield LabelChoice.of(sorted(labels), "folders", folder_level=level)


def _table_choices(
    archive: Archive,
    documents: Sequence[int],
    images: Sequence[str],
    skipped: Sequence[bool],
    limits: Limits,
) -> Iterator[LabelChoice]:
    finder = ImageNames(images if documents else (), skipped)
    for i, reader in archive.open_members(documents):
        name, content = archive.names[i], read_up_to(reader, limits.archive_entry_bytes + 1)

        def is_image(path: str, name: str = name) -> bool:
            return finder.find(path, name) is not None

        # A file without labels is not a choice. `label_sources` says why it has none.
        with suppress(NoLabels, DatasetUnreadable):
            columns: dict[str, set[str]] = {}
            for table in read_tables(content, name, is_image, limits):
                for column, labels in find_label_columns(table, is_image, limits).items():
                    columns.setdefault(column, set()).update(labels)
            for column, values in list(columns.items())[:_MAX_COLUMNS]:
                yield LabelChoice.of(sorted(values), name, label_column=column)
