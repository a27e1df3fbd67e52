"""Labels of images from the tables of an archive."""

import posixpath
from collections.abc import Sequence

import numpy as np

from core.datasets.errors import printable
from modalities.image.upload.folder_layout import FolderLayout
from modalities.image.upload.labels.labeling import Labeling, images_issue, note_unlabeled_parts
from modalities.image.upload.labels.labels import UNLABELED, is_integer
from modalities.image.upload.labels.table_labels import TableLabels, TableSearch, is_documented_name


def label_from_tables(
    search: TableSearch,
    layout: FolderLayout,
    images: Sequence[str],
    archive_names: Sequence[str],
) -> Labeling | None:
    """Label the images by the table that covers the most; None if all cover too few."""
    labels = search.best(layout)
    if labels is None or _numbers_the_folders(labels, layout):
        return None
    is_test = np.where(labels.names_part, labels.is_test, layout.is_test)
    chosen = layout.select([folder.use is not None for folder in layout.folders])
    is_test = np.where(chosen, layout.is_test, is_test)
    labeling = Labeling(
        source=posixpath.splitext(labels.names[0])[1].lower().lstrip("."),
        encoder=labels.encoder,
        codes=labels.codes,
        is_test=is_test,
        is_used=(
            labels.listed
            & ~layout.select([folder.role == "unlabeled" for folder in layout.folders])
            | layout.is_chosen
        ),
        used_files={i for i, name in enumerate(archive_names) if name in labels.names},
        issues=labels.issues(),
    )
    names = ", ".join(printable(name) for name in labels.names[:3])
    labeling.notes.append(f"The labels are from {names}, column {printable(labels.column)}.")
    if layout.has_several_labels and not is_documented_name(labels.names[0]):
        labeling.notes.append(
            'The folders may be labels too: to use them, set `labels_from` to "folders".'
        )
    _leave_out_unlisted(labeling, layout, images, names)
    return labeling


def _numbers_the_folders(labels: TableLabels, layout: FolderLayout) -> bool:
    """Return True if a table only repeats the folders of the images by number, as in lists."""
    if not all(is_integer(name) for name in labels.encoder.sorted_names()):
        return False
    folders = [layout.folders[i].label for i in layout.folder_of[labels.listed]]
    if None in folders or all(is_integer(str(label)) for label in folders):
        return False
    pairs = set(zip(labels.codes[labels.listed].tolist(), folders, strict=True))
    return len(pairs) == len({code for code, _ in pairs}) == len({label for _, label in pairs})


def _leave_out_unlisted(
    labeling: Labeling, layout: FolderLayout, images: Sequence[str], table: str
) -> None:
    unlisted = ~labeling.is_used & ~layout.is_mask & ~layout.is_left_out
    expected = layout.select([folder.role != "train" for folder in layout.folders])
    note_unlabeled_parts(labeling, layout, unlisted & expected)
    if missing := np.flatnonzero(unlisted & ~expected).tolist():
        labeling.issues.append(
            images_issue(
                "label_missing",
                "warning",
                missing,
                images,
                f"Images that are not listed in {table} were left out. Add them to the list.",
            )
        )


def add_labels_of_tests(labeling: Labeling, search: TableSearch, layout: FolderLayout) -> None:
    """Label test images from a table if their folders do not: `val/images` with a list.

    The labels of the table must be those of the folders.
    """
    missing = labeling.codes == UNLABELED
    missing &= layout.select([folder.role == "test" for folder in layout.folders])
    names = set(labeling.encoder.sorted_names())
    for table in search.candidates:
        labels = table.encoder.sorted_names()
        if not (table.listed & missing).any() or not names.issuperset(labels):
            continue
        code_of = {table.encoder.code_of(n): labeling.encoder.code_of(n) for n in labels}
        for i in np.flatnonzero(table.listed & missing & (table.codes != UNLABELED)).tolist():
            labeling.codes[i] = code_of[int(table.codes[i])]
            labeling.is_used[i] = True
        labeling.notes.append(f"The labels of test images are from {printable(table.names[0])}.")
        return
