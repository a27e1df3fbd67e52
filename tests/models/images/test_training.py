"""The loop: what it leaves behind, and that it can be broken off anywhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from models import losses
from models.checkpoint import unpack
from models.images.sampling import ImageSampler
from models.images.vae_gan import training
from models.images.vae_gan.state import VaeGanState
from models.training_callbacks import NonFiniteLoss
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import make_settings


def test_a_run_reports_both_sides_of_the_game_and_shows_a_row_for_each_label(
    run_to: TrainTo,
) -> None:
    run = run_to(make_settings(), 20)
    assert list(run.reports) == [4, 8, 12, 16, 20]
    assert set(run.reports[4]) == {"feature_loss"}
    assert {"pixel_error", "kl"} <= set(run.reports[8])
    last = run.reports[20]
    for name in ("critic_accuracy_real", "critic_accuracy_fake", "critic_auc"):
        assert 0 <= last[name] <= 1
    assert {"critic_loss", "generator_loss"} <= set(last)
    assert [sheet.shape for sheet in run.sheets] == [(3 * 9 - 1, 10 * 9 - 1)] * 2


@pytest.mark.parametrize("killed_at", [3, 7, 13, 19, 20])
def test_a_run_that_was_killed_ends_with_the_weights_of_an_unbroken_one(
    run_to: TrainTo, killed_at: int
) -> None:
    whole = run_to(make_settings(), 20)
    broken = run_to(make_settings(), 20, every=3, killed_at=killed_at)
    before = broken.saved[max(broken.saved)].state if broken.saved else None
    resumed = run_to(make_settings(), 20, state=before)
    assert resumed.saved[20].model == whole.saved[20].model
    assert resumed.saved[20].state == whole.saved[20].state


def test_a_run_that_was_killed_again_and_again_ends_with_the_same_weights(
    run_to: TrainTo,
) -> None:
    whole = run_to(make_settings(), 24).saved[24]
    state = None
    for killed_at in (2, 5, 6, 9, 11, 14, 16, 19, 22, 23):
        broken = run_to(make_settings(), 24, state=state, every=1, killed_at=killed_at)
        state = broken.saved[max(broken.saved)].state if broken.saved else state
    assert run_to(make_settings(), 24, state=state).saved[24].model == whole.model


def test_a_run_broken_off_at_its_very_end_gives_the_same_model(run_to: TrainTo) -> None:
    whole = run_to(make_settings(), 20).saved[20]
    assert run_to(make_settings(), 20, state=whole.state).saved[20].model == whole.model


def test_another_seed_gives_other_weights(run_to: TrainTo, tmp_path: Path) -> None:
    settings = make_settings()
    assert run_to(settings, 6).saved[6].model == run_to(settings, 6).saved[6].model
    assert run_to(settings, 6).saved[6].model != run_to(settings, 7).saved[7].model


@pytest.mark.parametrize("broken", ["critic_step", "kl_to_standard_normal"])
def test_a_loss_that_leaves_the_finite_numbers_ends_the_run(
    run_to: TrainTo, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    whole = getattr(losses, broken)

    def without_a_number(*given: Any) -> Any:
        found = whole(*given)
        if broken == "critic_step":
            return replace(found, critic_loss=found.critic_loss * float("nan"))
        return found * float("nan")

    monkeypatch.setattr(losses, broken, without_a_number)
    with pytest.raises(NonFiniteLoss, match="step"):
        run_to(make_settings(), 20)


@pytest.mark.parametrize(
    ("height", "width", "channels", "classes"),
    [(28, 28, 1, 10), (8, 8, 1, 2), (32, 32, 3, 3), (40, 56, 1, 4), (11, 13, 3, 1), (64, 64, 3, 2)],
)
def test_any_size_trains_and_samples_in_its_own_shape(
    run_to: TrainTo, tmp_path: Path, height: int, width: int, channels: int, classes: int
) -> None:
    run = run_to(make_settings(height, width, channels, classes), 6)
    (tmp_path / "model").write_bytes(run.saved[6].model)
    sampler = ImageSampler.load(*unpack(tmp_path / "model"))
    noise = np.zeros((5, sampler.noise_size), np.float32)
    labels = np.arange(5) % classes
    drawn = sampler.sample(noise, labels)
    assert drawn.shape == (5, height, width, *((3,) if channels == 3 else ()))
    assert drawn.dtype == np.uint8


def test_the_checkpoint_before_the_prior_is_fitted_can_be_sampled(
    run_to: TrainTo, tmp_path: Path
) -> None:
    run = run_to(make_settings(), 20, every=2)
    for step in (2, 4, 10, 18):
        (tmp_path / "model").write_bytes(run.saved[step].model)
        sampler = ImageSampler.load(*unpack(tmp_path / "model"))
        noise = np.random.default_rng(0).normal(size=(4, sampler.noise_size)).astype(np.float32)
        assert sampler.sample(noise, np.array([0, 1, 2, 2])).shape == (4, 8, 8)
        # Once images are encoded, it is their noise that is drawn.
        assert bool(sampler.prior.means.any()) == (step > 4)


def test_out_of_memory_halves_what_is_computed_at_a_time_and_goes_on(
    run_to: TrainTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for three images: batches of eight go on in parts of two."""
    whole = training.add_gradients

    def with_little_memory(nets: VaeGanState, real: Tensor, *rest: Any) -> dict[str, Tensor]:
        if len(real) > 3:
            raise MemoryError
        return whole(nets, real, *rest)

    monkeypatch.setattr(training, "add_gradients", with_little_memory)
    run = run_to(make_settings(), 20)
    assert [message for _, message in run.warnings] == [
        "Out of memory: training continues with 4 items at a time.",
        "Out of memory: training continues with 2 items at a time.",
    ]
    assert run.saved[20].parameters > 0


def test_when_not_even_one_image_fits_the_run_ends(
    run_to: TrainTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*_: Any) -> dict[str, Tensor]:
        raise MemoryError

    monkeypatch.setattr(training, "add_gradients", without_memory)
    with pytest.raises(MemoryError):
        run_to(make_settings(), 20)
