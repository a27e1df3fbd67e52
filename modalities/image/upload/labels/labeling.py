"""Label and part of each image of an archive, from whatever source."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue, Severity
from core.datasets.errors import printable
from core.limits import Limits
from modalities.image.upload.folder_layout import FolderLayout
from modalities.image.upload.labels.label_choices import LabelChoice
from modalities.image.upload.labels.labels import UNLABELED, LabelEncoder

_MAX_EXAMPLES = 5


class Part(NamedTuple):
    """A part of the archive, such as `seg_train`, and the number of its images by use."""

    name: str
    train: int
    test: int
    left_out: int


@dataclass
class Labeling:
    """Label and part of each image of an archive."""

    source: str  # "folders", "webdataset", "file_names", "none" or the suffix of a table
    encoder: LabelEncoder
    codes: NDArray[np.int32]  # of `encoder`, UNLABELED for none
    is_test: NDArray[np.bool_]
    is_used: NDArray[np.bool_]  # False for images that are left out
    parts: list[Part] = field(default_factory=list)
    choices: list[LabelChoice] = field(default_factory=list)
    used_files: set[int] = field(default_factory=set)  # indices in the archive of files with labels
    notes: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


def new_labeling(layout: FolderLayout, images: Sequence[str], limits: Limits) -> Labeling:
    return Labeling(
        source="none",
        encoder=LabelEncoder(limits),
        codes=np.full(len(images), UNLABELED, np.int32),
        is_test=layout.is_test,
        is_used=np.ones(len(images), bool),
    )


def finish_labeling(labeling: Labeling, layout: FolderLayout, images: Sequence[str]) -> Labeling:
    """Leave out masks and parts that a client left out, and describe the parts."""
    labeling.is_used &= ~layout.is_left_out
    if masks := np.flatnonzero(layout.is_mask & ~layout.is_left_out).tolist():
        labeling.is_used &= ~layout.is_mask
        severity: Severity = "info" if labeling.source != "none" else "error"
        hint = (
            "Masks and copies next to images of the same name were left out: they are neither "
            "images to learn nor labels."
        )
        labeling.issues.append(images_issue("annotations_not_read", severity, masks, images, hint))
    if labeling.is_test[labeling.is_used].all():
        labeling.is_test = np.zeros_like(labeling.is_test)  # a test part on its own is the dataset
    labeling.notes += layout.notes
    for name in dict.fromkeys(folder.part for folder in layout.folders if folder.part):
        members = layout.select([folder.part == name for folder in layout.folders])
        used = members & labeling.is_used
        test = int((used & labeling.is_test).sum())
        train = int(used.sum()) - test
        left_out = int(members.sum()) - train - test
        labeling.parts.append(Part(name, train, test, left_out))
    return labeling


def note_unlabeled_parts(
    labeling: Labeling, layout: FolderLayout, left_out: NDArray[np.bool_]
) -> None:
    """Report images without a label in folders such as `test`, which are left out."""
    if left_out.any():
        folders = dict.fromkeys(
            layout.folders[i].path for i in np.unique(layout.folder_of[left_out])
        )
        names = ", ".join(printable(path) for path in list(folders)[:3])
        labeling.notes.append(
            f"{int(left_out.sum()):,} images without a label in {names} were left out."
        )


def images_issue(
    code: str, severity: Severity, indices: Sequence[int], images: Sequence[str], hint: str
) -> Issue:
    examples = tuple(printable(images[i]) for i in indices[:_MAX_EXAMPLES])
    return Issue(code, severity, len(indices), examples, hint)
