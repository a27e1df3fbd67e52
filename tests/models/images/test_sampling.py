"""An item depends on its own noise and label alone, and its label is the one asked for."""

from pathlib import Path

import numpy as np
import pytest

from models import noise
from models.checkpoint import UnreadableCheckpoint, pack, unpack
from models.images.sampling import BATCH_SIZE, ImageSampler
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import make_settings


@pytest.fixture
def sampler(run_to: TrainTo, tmp_path: Path) -> ImageSampler:
    (tmp_path / "model").write_bytes(run_to(make_settings(), 20).saved[20].model)
    return ImageSampler.load(*unpack(tmp_path / "model"))


def test_an_item_is_the_same_at_any_place_of_a_batch(sampler: ImageSampler) -> None:
    z = noise.normals(3, np.arange(BATCH_SIZE), sampler.noise_size)
    y = np.arange(BATCH_SIZE) % 3
    whole = sampler.sample(z, y)
    order = np.random.default_rng(0).permutation(BATCH_SIZE)
    assert np.array_equal(sampler.sample(z[order], y[order]), whole[order])
    alone = np.zeros_like(z)
    alone[0] = z[17]
    assert np.array_equal(sampler.sample(alone, np.full(BATCH_SIZE, y[17]))[0], whole[17])


def test_labels_and_noise_both_matter(sampler: ImageSampler) -> None:
    z = noise.normals(3, np.arange(2), sampler.noise_size)
    first, other_label, other_noise = sampler.sample(z[[0, 0, 1]], np.array([0, 1, 0]))
    assert not np.array_equal(first, other_label)
    assert not np.array_equal(first, other_noise)


def test_a_file_of_another_kind_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(pack({}, {"modality": "tabular"}))
    with pytest.raises(UnreadableCheckpoint, match="not an image model"):
        ImageSampler.load(*unpack(tmp_path / "model"))
