"""Folders of an archive: their parts, and the labels of their images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from modalities.image.upload.labels.split_names import Role
from modalities.image.upload.options import PartUse

Levels = tuple[str, ...]


@dataclass
class Folder:
    """A folder with images. `levels` are reduced to those of its label."""

    path: str
    levels: Levels
    part: str = ""  # the name of its part, such as `seg_train`; "" if there are no parts
    role: Role = "train"
    is_mask: bool = False  # its images are segmentation masks
    use: PartUse | None = None  # the client's choice

    @property
    def label(self) -> str | None:
        """Label, None if there is none."""
        return self.label_at(None)

    def label_at(self, level: int | None) -> str | None:
        """Return the label at one level, from 1, or at the last one of a folder with fewer levels.

        Undoes the percent-encoding of exported archives.
        """
        levels = self.levels if level is None else self.levels[:level][-1:]
        if not levels:
            return None
        try:
            return "/".join(unquote(each, errors="strict") for each in levels)
        except UnicodeDecodeError:
            return "/".join(levels)


@dataclass
class FolderLayout:
    """Folders of an archive, and the index of each image's folder."""

    folders: list[Folder]
    folder_of: NDArray[np.int32]
    is_twin: NDArray[np.bool_]  # images that are masks or copies of another one in their folder
    notes: list[str] = field(default_factory=list)

    def select(self, flags: Sequence[bool]) -> NDArray[np.bool_]:
        """Expand a flag per folder to one per image."""
        return np.array(flags, bool)[self.folder_of]

    @property
    def is_test(self) -> NDArray[np.bool_]:
        return self.select([folder.role == "test" for folder in self.folders])

    @property
    def is_mask(self) -> NDArray[np.bool_]:
        return self.select([folder.is_mask for folder in self.folders]) | self.is_twin

    @property
    def is_left_out(self) -> NDArray[np.bool_]:
        return self.select([folder.use == "leave_out" for folder in self.folders])

    @property
    def is_chosen(self) -> NDArray[np.bool_]:
        """True for images that a client chose to train on, also without labels."""
        return self.select([folder.use == "train" for folder in self.folders])

    @property
    def depth(self) -> int:
        """Number of levels of the labels."""
        return max((len(folder.levels) for folder in self.folders), default=0)

    @property
    def has_labels(self) -> bool:
        return any(folder.levels and folder.role == "train" for folder in self.folders)

    @property
    def has_several_labels(self) -> bool:
        trained = {folder.levels for folder in self.folders if folder.role == "train"}
        return len(trained - {()}) > 1
