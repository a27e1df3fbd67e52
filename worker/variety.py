"""A model that makes one and the same item is not handed out as one that learned."""

from collections.abc import Iterator

import numpy as np

from core.errors import JobError
from core.storage import Storage, Stored
from core.tables import Checkpoint
from models.generator import load
from models.images.data import LabelledImages
from models.images.drawing import drawn
from models.images.sampling import ImageSampler
from models.measures.variety import one_picture, one_row
from models.tables.data import LabelledRows
from models.tables.sampling import RowSampler

LABELS, ROWS = 8, 256
ADVICE = "train longer, with another seed, or with another preset"


def check_images(checkpoint: Checkpoint, images: LabelledImages, storage: Storage) -> None:
    """Raises JobError when all pictures of each label that is looked at are the same one."""
    with storage.open(Stored.from_dict(checkpoint.files["model"])) as path:
        generator = load(path)
    assert isinstance(generator, ImageSampler)  # noqa: S101 - it was trained as one
    found = list(_pictures(generator, images))
    if found and all(found):
        raise JobError("collapsed", f"the model draws the same picture again and again; {ADVICE}")


def _pictures(generator: ImageSampler, images: LabelledImages) -> Iterator[bool]:
    labels = images.labels[images.train]
    for label in np.unique(labels)[:LABELS]:
        mine = images.train[labels == label][: generator.batch]
        if len(mine) > 1:
            numbers = np.arange(generator.batch, dtype=np.int64)
            asked = np.full(generator.batch, label, np.int64)
            yield one_picture(drawn(generator, 0, asked, numbers), images.pixels[mine])


def check_rows(checkpoint: Checkpoint, rows: LabelledRows, storage: Storage) -> None:
    """Raises JobError when all rows are the same but for their identifiers."""
    with storage.open(Stored.from_dict(checkpoint.files["model"])) as path:
        generator = load(path)
    assert isinstance(generator, RowSampler)  # noqa: S101 - it was trained as one
    learned = [column.name for column in generator.encoding.columns]
    made = generator.draw(0, np.arange(ROWS, dtype=np.int64)).rows
    if one_row(made, rows.part(rows.train[:ROWS]).select(learned)):
        raise JobError("collapsed", f"the model makes the same row again and again; {ADVICE}")
