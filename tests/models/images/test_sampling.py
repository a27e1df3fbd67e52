"""Image sampler: an item depends only on its own noise and label."""

from pathlib import Path

import numpy as np
import pytest

from models import noise
from models.checkpoint import UnreadableCheckpoint, pack, unpack
from models.images.sampling import BATCH_SIZE, ImageSampler
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import make_settings


@pytest.fixture
def sampler(train_to: TrainTo, tmp_path: Path) -> ImageSampler:
    (tmp_path / "model").write_bytes(train_to(make_settings(), 20).saved[20].model)
    return ImageSampler.load(*unpack(tmp_path / "model"))


def test_an_item_does_not_depend_on_its_position_in_a_batch(sampler: ImageSampler) -> None:
    z = noise.normals(3, np.arange(BATCH_SIZE), sampler.noise_size)
    y = np.arange(BATCH_SIZE) % 3
    images = sampler.sample(z, y)
    order = np.random.default_rng(0).permutation(BATCH_SIZE)
    assert np.array_equal(sampler.sample(z[order], y[order]), images[order])
    single = np.zeros_like(z)
    single[0] = z[17]
    assert np.array_equal(sampler.sample(single, np.full(BATCH_SIZE, y[17]))[0], images[17])


def test_samples_depend_on_label_and_noise(sampler: ImageSampler) -> None:
    z = noise.normals(3, np.arange(2), sampler.noise_size)
    first, other_label, other_noise = sampler.sample(z[[0, 0, 1]], np.array([0, 1, 0]))
    assert not np.array_equal(first, other_label)
    assert not np.array_equal(first, other_noise)


def test_a_tabular_model_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(pack({}, {"modality": "tabular"}))
    with pytest.raises(UnreadableCheckpoint, match="not an image model"):
        ImageSampler.load(*unpack(tmp_path / "model"))
