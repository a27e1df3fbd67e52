"""Issues about files that look like labels but were not read, and about labels in file names."""

from collections.abc import Sequence

import numpy as np

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.limits import Limits
from modalities.image.upload.labels.box_annotations import boxes_issue
from modalities.image.upload.labels.file_name_labels import describe_labels, labels_in_file_names
from modalities.image.upload.labels.label_columns import (
    NAMES_NO_IMAGE,
    SEVERAL_COLUMNS,
    SEVERAL_LABELS,
)
from modalities.image.upload.labels.labeling import Labeling
from modalities.image.upload.labels.table_labels import LISTS_IMAGES, TableSearch

_MAX_EXAMPLES = 5
# Files that often hold labels, in formats that are not read next to images.
_UNREAD_SUFFIXES = (
    *(".mat", ".h5", ".hdf5", ".pkl", ".npy", ".npz", ".tfrecord"),
    *(".tfrecords", ".db", ".sqlite", ".arrow", ".feather"),
)


def add_findings(
    labeling: Labeling,
    search: TableSearch,
    images: Sequence[str],
    others: Sequence[str],
    limits: Limits,
) -> None:
    """Report files that look like labels but were not read, and labels in file names."""
    has_labels = labeling.source != "none"
    if issue := boxes_issue(search.boxes, has_labels=has_labels):
        labeling.issues.append(issue)
    # Other text files are licenses or logs, not lists.
    unread = [
        name
        for name, reason in search.failures.items()
        if reason != LISTS_IMAGES
        and (
            not name.lower().endswith((".txt", ".lst"))
            or reason == SEVERAL_LABELS
            or reason.startswith(SEVERAL_COLUMNS)
            or name in search.naming_images
        )
    ]
    if not has_labels:
        search.failures |= {
            name: "is a kind of file that is not read"
            for name in others
            if name.lower().endswith(_UNREAD_SUFFIXES)
        }
        unread = [
            *unread,
            *(name for name in search.failures if name.lower().endswith(_UNREAD_SUFFIXES)),
        ]
    if has_labels:
        labeling.notes += [
            f"{printable(name)} {search.failures[name]}."
            for name in unread[:_MAX_EXAMPLES]
            if search.failures[name] != NAMES_NO_IMAGE
        ]
        return
    if unread:
        hint = "Files that may list labels were not read: " + "; ".join(
            f"{printable(name)} {search.failures[name]}" for name in unread[:3]
        )
        names = tuple(printable(name) for name in unread[:_MAX_EXAMPLES])
        labeling.issues.append(Issue("labels_not_read", "error", len(unread), names, f"{hint}."))
    images = [images[i] for i in np.flatnonzero(labeling.is_used).tolist()]
    in_names = labels_in_file_names(images, limits)
    if any(in_names):
        hint = (
            f"The file names seem to hold labels: {describe_labels(in_names)}. To use them, set "
            '`labels_from` of the dataset to "file_names".'
        )
        count = sum(label is not None for label in in_names)
        labeling.issues.append(
            Issue("labels_in_file_names", "warning", count, tuple(images[:_MAX_EXAMPLES]), hint)
        )
    elif not unread and not search.boxes and labeling.source == "none":
        hint = (
            "The images have no labels. To add some, put them into one folder per label, or "
            "add a labels.csv with the columns path and label."
        )
        labeling.issues.append(Issue("no_labels", "info", len(images), (), hint))
