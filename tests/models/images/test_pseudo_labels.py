"""Images that come without a label, beside others that have one."""

from pathlib import Path

import numpy as np
import pytest

from models.images.data import UNLABELED, ImageBatches, LabeledImages
from models.images.pseudo_labels import assign_pseudo_labels
from models.images.training import create_trainer, train
from tests.models.images.tiny import RecordingCallbacks, make_images, make_settings

SETTINGS = make_settings(feature_lr=0.02, feature_budget_fraction=0.5)


def half_labelled(seed: int = 1) -> LabeledImages:
    """The labels of every third image are kept."""
    whole = make_images(SETTINGS, 90)
    labels = np.where(np.arange(90) // 3 % 3 == 0, whole.labels, UNLABELED).astype(np.int32)
    return LabeledImages.split(whole.pixels, labels, holdout_fraction=0.2, seed=seed)


def test_only_labelled_images_are_held_out() -> None:
    data = half_labelled()
    assert len(data.unlabeled) == 60
    assert (data.labels[data.holdout] != UNLABELED).all()
    assert (data.labels[data.train] != UNLABELED).all()
    assert len(data.train) + len(data.holdout) == 30


def test_labels_are_guessed_where_the_features_are_sure_of_them() -> None:
    data, truth = half_labelled(), make_images(SETTINGS, 90).labels
    nets = create_trainer(SETTINGS, data, 5, None, None)
    batches = ImageBatches(data, 16, 5)
    assert assign_pseudo_labels(nets.features, data, 5) == 0  # nothing is learned yet
    for step in range(60):
        nets.features.train_step(*batches.batch_at(step), 0.3)
    nets.freeze_features()
    before = set(data.train.tolist())
    count = assign_pseudo_labels(nets.features, data, 5)
    added = sorted(set(data.train.tolist()) - before)
    assert len(added) == count > 40
    assert (data.labels[added] == truth[added]).mean() > 0.9
    assert assign_pseudo_labels(nets.features, data, 5) == 0  # once is enough


@pytest.mark.parametrize("architecture", ["vae_gan", "mlp"])
def test_a_run_with_unlabelled_images_that_was_killed_ends_as_an_unbroken_one(
    tmp_path: Path, architecture: str
) -> None:
    settings = make_settings(
        architecture=architecture, feature_lr=0.02, feature_budget_fraction=0.5
    )

    def run(state: bytes | None = None, killed_at: int | None = None) -> RecordingCallbacks:
        recorder, path = RecordingCallbacks(60, every=3, killed_at=killed_at), None
        if state is not None:
            path = tmp_path / "state"
            path.write_bytes(state)
        try:
            train(half_labelled(), settings, recorder, seed=5, state=path)
        except KeyboardInterrupt:
            assert killed_at is not None
        return recorder

    whole = run()
    reported = [found.get("pseudo_labels", 0) for found in whole.reports.values()]
    assert sum(count > 0 for count in reported) == 1
    assert max(reported) > 20
    for killed_at in (10, 50):
        broken = run(killed_at=killed_at)
        resumed = run(broken.saved[max(broken.saved)].state)
        assert resumed.saved[60].model == whole.saved[60].model
