"""Training on labeled and unlabeled images together."""

from pathlib import Path

import numpy as np
import pytest

from models.images.data import UNLABELED, ImageBatches, LabeledImages
from models.images.feature_extractor import FeatureNetwork
from models.images.pseudo_labels import assign_pseudo_labels
from models.images.training import train
from models.microbatch import Part, Position
from tests.models.images.tiny import RecordingCallbacks, make_images, make_settings

SETTINGS = make_settings(feature_lr=0.02, feature_budget_fraction=0.5)


def make_partly_labeled_images(seed: int = 1) -> LabeledImages:
    """Return images of which one third has a label."""
    labeled = make_images(SETTINGS, 90)
    labels = np.where(np.arange(90) // 3 % 3 == 0, labeled.labels, UNLABELED).astype(np.int32)
    return LabeledImages.split(labeled.pixels, labels, holdout_fraction=0.2, seed=seed)


def test_only_labeled_images_are_held_out() -> None:
    data = make_partly_labeled_images()
    assert len(data.unlabeled) == 60
    assert (data.labels[data.holdout] != UNLABELED).all()
    assert (data.labels[data.train] != UNLABELED).all()
    assert len(data.train) + len(data.holdout) == 30


def test_confident_images_get_pseudo_labels() -> None:
    data, true_labels = make_partly_labeled_images(), make_images(SETTINGS, 90).labels
    features = FeatureNetwork(SETTINGS, ImageBatches(data, 16, 5))
    assert assign_pseudo_labels(features, data, 5) == 0  # the features are untrained
    for step in range(60):
        position = Position(step, 0.3)
        features.optimizer.zero_grad()
        features.add_gradients(Part(features.batches.batch_at(step), position))
        features.apply_gradients(position)
    features.freeze()
    labeled_before = set(data.train.tolist())
    count = assign_pseudo_labels(features, data, 5)
    added = sorted(set(data.train.tolist()) - labeled_before)
    assert len(added) == count > 40
    assert (data.labels[added] == true_labels[added]).mean() > 0.9
    assert assign_pseudo_labels(features, data, 5) == 0  # it assigns only once


@pytest.mark.parametrize("architecture", [pytest.param("vae_gan", marks=pytest.mark.slow), "mlp"])
def test_a_resumed_run_with_unlabeled_images_gives_the_same_model(
    tmp_path: Path, architecture: str
) -> None:
    settings = make_settings(
        architecture=architecture, feature_lr=0.02, feature_budget_fraction=0.5
    )

    def run(state: bytes | None = None, interrupt_at: int | None = None) -> RecordingCallbacks:
        callbacks = RecordingCallbacks(60, checkpoint_interval=3, interrupt_at=interrupt_at)
        state_path = None
        if state is not None:
            state_path = tmp_path / "state"
            state_path.write_bytes(state)
        try:
            train(make_partly_labeled_images(), settings, callbacks, seed=5, state=state_path)
        except KeyboardInterrupt:
            assert interrupt_at is not None
        return callbacks

    uninterrupted = run()
    pseudo_label_counts = [
        metrics.get("pseudo_labels", 0) for metrics in uninterrupted.metrics.values()
    ]
    assert sum(count > 0 for count in pseudo_label_counts) == 1
    assert max(pseudo_label_counts) > 20
    for interrupt_at in (10, 50):
        interrupted = run(interrupt_at=interrupt_at)
        resumed = run(interrupted.saved[max(interrupted.saved)].state)
        assert resumed.saved[60].model == uninterrupted.saved[60].model
