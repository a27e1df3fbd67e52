"""Choice of the images of each batch."""

import numpy as np
import torch

from models.images.data import ImageBatches, LabeledImages


def make_numbered_images(*counts: int) -> LabeledImages:
    """Return `counts` images per label whose first pixel is the index of the image."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    pixels = np.zeros((len(labels), 2, 2), np.uint8)
    pixels[:, 0, 0] = np.arange(len(labels))
    return LabeledImages.split(pixels, labels, holdout_fraction=0.0, seed=1)


def read_epoch(data: LabeledImages, size: int, seed: int = 3) -> tuple[list[int], torch.Tensor]:
    batches = ImageBatches(data, size, seed)
    pairs = [batches.batch_at(step) for step in range(len(data.train) // size)]
    indices = torch.cat([x[:, 0, 0, 0] for x, _ in pairs]).add(1).mul(127.5).round().int()
    return indices.tolist(), torch.cat([y for _, y in pairs])


def test_balanced_labels_give_every_image_once_per_epoch() -> None:
    indices, _ = read_epoch(make_numbered_images(40, 40), 8)
    assert sorted(indices) == list(range(80))


def test_rare_labels_are_oversampled_and_all_their_images_used() -> None:
    """Labels are weighted by the square root: 1 % of the images is 10 % of the batches."""
    data = make_numbered_images(198, 2)
    indices, labels = read_epoch(data, 10)
    assert 0.07 < float((labels == 1).float().mean()) < 0.11
    assert {198, 199} <= set(indices)


def test_an_epoch_depends_only_on_seed_and_step() -> None:
    data = make_numbered_images(30, 10)
    assert read_epoch(data, 8)[0] == read_epoch(data, 8)[0]
    assert read_epoch(data, 8)[0] != read_epoch(data, 8, seed=4)[0]
    direct = ImageBatches(data, 8, 3).batch_at(11)
    sequential = ImageBatches(data, 8, 3)
    for step in range(11):
        sequential.batch_at(step)
    assert torch.equal(direct[0], sequential.batch_at(11)[0])


def test_a_label_without_images_is_skipped() -> None:
    indices, _ = read_epoch(make_numbered_images(20, 0, 20), 8)
    assert len(indices) == 40
