"""Which images a batch is made of."""

import numpy as np
import torch

from models.images.data import ImageBatches, LabeledImages


def images(*counts: int) -> LabeledImages:
    """Each image's first pixel says which it is."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    pixels = np.zeros((len(labels), 2, 2), np.uint8)
    pixels[:, 0, 0] = np.arange(len(labels))
    return LabeledImages.split(pixels, labels, holdout_fraction=0.0, seed=1)


def epoch(data: LabeledImages, size: int, seed: int = 3) -> tuple[list[int], torch.Tensor]:
    batches = ImageBatches(data, size, seed)
    drawn = [batches.batch_at(step) for step in range(len(data.train) // size)]
    which = torch.cat([x[:, 0, 0, 0] for x, _ in drawn]).add(1).mul(127.5).round().int()
    return which.tolist(), torch.cat([y for _, y in drawn])


def test_with_equally_many_of_each_label_every_image_comes_once_an_epoch() -> None:
    which, _ = epoch(images(40, 40), 8)
    assert sorted(which) == list(range(80))


def test_a_rare_label_comes_more_often_than_its_share_and_all_of_its_images_do() -> None:
    """One in a hundred images, one in ten draws: the square root."""
    data = images(198, 2)
    which, labels = epoch(data, 10)
    assert 0.07 < float((labels == 1).float().mean()) < 0.11
    assert {198, 199} <= set(which)


def test_an_epoch_depends_on_seed_and_step_alone() -> None:
    data = images(30, 10)
    assert epoch(data, 8)[0] == epoch(data, 8)[0]
    assert epoch(data, 8)[0] != epoch(data, 8, seed=4)[0]
    late = ImageBatches(data, 8, 3).batch_at(11)
    walked = ImageBatches(data, 8, 3)
    for step in range(11):
        walked.batch_at(step)
    assert torch.equal(late[0], walked.batch_at(11)[0])


def test_a_label_without_images_is_no_obstacle() -> None:
    which, _ = epoch(images(20, 0, 20), 8)
    assert len(which) == 40
