"""Files that list images without labels: of a part, such as `test.txt`, or of one label each."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from modalities.image.upload.image_names import ImageNames
from modalities.image.upload.labels.label_table import LabelTable
from modalities.image.upload.labels.split_names import Role, role_of_name

_MIN_SHARE = 0.5  # of the lines must name an image
_MIN_COVERAGE = 0.9  # of the images must be listed
_MAX_OVERLAP = 0.02  # of the images may be in lists of several parts or labels


@dataclass
class ImageLists:
    """Indices of the images that each list names."""

    parts: dict[Role, set[int]] = field(default_factory=dict)
    labels: dict[str, set[int]] = field(default_factory=dict)

    def add(self, table: LabelTable, finder: ImageNames) -> bool:
        """Add a table without labels. Returns False if it does not list images."""
        paths = [row[0] or "" for row in table.read_rows()]
        paths += [] if table.header[0] == "1" else [table.header[0]]
        matches = [finder.find(path, table.name) for path in paths]
        images = {index for index in matches if index is not None}
        if len(table.header) != 1 or len(images) < max(1, _MIN_SHARE * len(paths)):
            return False
        if role := role_of_name(table.part_name):
            self.parts.setdefault(role, set()).update(images)
        else:
            self.labels[table.part_name] = images
        return True

    def test_images(self, n_images: int) -> NDArray[np.bool_] | None:
        """Return which images the lists of tests name; None if the lists do not make two parts."""
        test, train = self.parts.get("test", set()), self.parts.get("train", set())
        is_clear = len(test & train) <= _MAX_OVERLAP * n_images
        covers = len(test | train) >= _MIN_COVERAGE * n_images
        if not (is_clear and covers and 0 < len(test) < n_images):
            return None
        is_test = np.zeros(n_images, bool)
        is_test[list(test)] = True
        return is_test

    def label_of_images(self, n_images: int) -> dict[int, str] | None:
        """Return the label of each image if the lists are of one label each."""
        labels: dict[int, str] = {}
        repeated = 0
        for label, images in self.labels.items():
            repeated += len(labels.keys() & images)
            labels |= dict.fromkeys(images, label)
        is_clear = len(self.labels) > 1 and repeated <= _MAX_OVERLAP * n_images
        return labels if is_clear and len(labels) >= _MIN_COVERAGE * n_images else None
