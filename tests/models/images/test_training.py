"""Image training loop: its outputs, and resuming after an interruption at any step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from models import losses
from models.checkpoint import unpack
from models.images.sampling import ImageSampler
from models.images.settings import ImageData
from models.images.vae_gan import training as vae_gan
from models.images.vae_gan.latent_buffer import LatentBuffer
from models.images.vae_gan.settings import default_prior_budget_fraction
from models.images.vae_gan.training import VaeGan
from models.microbatch import Part
from models.training_callbacks import NonFiniteLoss
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import make_settings


def test_a_run_reports_both_networks_and_previews_each_label(
    train_to: TrainTo,
) -> None:
    run = train_to(make_settings(), 20)
    assert list(run.metrics) == [4, 8, 12, 16, 20]
    assert set(run.metrics[4]) == {"feature_loss"}
    assert {"pixel_error", "kl"} <= set(run.metrics[8])
    last_metrics = run.metrics[20]
    for name in ("critic_accuracy_real", "critic_accuracy_fake", "critic_auc"):
        assert 0 <= last_metrics[name] <= 1
    assert {"critic_loss", "generator_loss"} <= set(last_metrics)
    assert [sheet.shape for sheet in run.previews] == [(3 * 84 + 4, 10 * 84 + 4)] * 2


@pytest.mark.parametrize("interrupt_at", [3, 7, 13, 19, 20])
def test_a_resumed_run_gives_the_same_weights(train_to: TrainTo, interrupt_at: int) -> None:
    uninterrupted = train_to(make_settings(), 20)
    interrupted = train_to(make_settings(), 20, checkpoint_interval=3, interrupt_at=interrupt_at)
    state = interrupted.saved[max(interrupted.saved)].state if interrupted.saved else None
    resumed = train_to(make_settings(), 20, state=state)
    assert resumed.saved[20].model == uninterrupted.saved[20].model
    assert resumed.saved[20].state == uninterrupted.saved[20].state


def test_a_run_resumed_many_times_gives_the_same_weights(
    train_to: TrainTo,
) -> None:
    uninterrupted = train_to(make_settings(), 24).saved[24]
    state = None
    for interrupt_at in (2, 5, 6, 9, 11, 14, 16, 19, 22, 23):
        interrupted = train_to(
            make_settings(), 24, state=state, checkpoint_interval=1, interrupt_at=interrupt_at
        )
        state = interrupted.saved[max(interrupted.saved)].state if interrupted.saved else state
    assert train_to(make_settings(), 24, state=state).saved[24].model == uninterrupted.model


def test_resuming_a_finished_run_gives_the_same_model(train_to: TrainTo) -> None:
    finished = train_to(make_settings(), 20).saved[20]
    assert train_to(make_settings(), 20, state=finished.state).saved[20].model == finished.model


def test_weights_depend_on_the_number_of_steps_and_are_reproducible(
    train_to: TrainTo, tmp_path: Path
) -> None:
    settings = make_settings()
    assert train_to(settings, 6).saved[6].model == train_to(settings, 6).saved[6].model
    assert train_to(settings, 6).saved[6].model != train_to(settings, 7).saved[7].model


@pytest.mark.parametrize("function", ["critic_step", "kl_to_standard_normal"])
def test_a_non_finite_loss_ends_the_run(
    train_to: TrainTo, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    original = getattr(losses, function)

    def return_nan(*arguments: Any) -> Any:
        result = original(*arguments)
        if function == "critic_step":
            return replace(result, critic_loss=result.critic_loss * float("nan"))
        return result * float("nan")

    monkeypatch.setattr(losses, function, return_nan)
    with pytest.raises(NonFiniteLoss, match="step"):
        train_to(make_settings(), 20)


@pytest.mark.parametrize(
    ("height", "width", "channels", "classes"),
    [(28, 28, 1, 10), (8, 8, 1, 2), (32, 32, 3, 3), (40, 56, 1, 4), (11, 13, 3, 1), (64, 64, 3, 2)],
)
def test_samples_have_the_shape_of_the_training_images(
    train_to: TrainTo, tmp_path: Path, height: int, width: int, channels: int, classes: int
) -> None:
    run = train_to(make_settings(height, width, channels, classes), 6)
    (tmp_path / "model").write_bytes(run.saved[6].model)
    sampler = ImageSampler.load(*unpack(tmp_path / "model"))
    noise = np.zeros((5, sampler.noise_size), np.float32)
    labels = np.arange(5) % classes
    samples = sampler.sample(noise, labels)
    assert samples.shape == (5, height, width, *((3,) if channels == 3 else ()))
    assert samples.dtype == np.uint8


def test_checkpoints_before_the_prior_is_fitted_can_be_sampled(
    train_to: TrainTo, tmp_path: Path
) -> None:
    run = train_to(make_settings(), 20, checkpoint_interval=2)
    for step in (2, 4, 10, 18):
        (tmp_path / "model").write_bytes(run.saved[step].model)
        sampler = ImageSampler.load(*unpack(tmp_path / "model"))
        noise = np.random.default_rng(0).normal(size=(4, sampler.noise_size)).astype(np.float32)
        assert sampler.sample(noise, np.array([0, 1, 2, 2])).shape == (4, 8, 8)
        # From the first encoded images on, the prior is fitted to their latents.
        assert bool(sampler.prior.means.any()) == (step > 4)


def test_out_of_memory_halves_the_micro_batch(
    train_to: TrainTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With memory for three images, batches of eight are computed two images at a time."""
    original = VaeGan.add_gradients

    def add_gradients_in_little_memory(networks: VaeGan, part: Part) -> dict[str, Tensor]:
        if len(part.batch[0]) > 3:
            raise MemoryError
        return original(networks, part)

    monkeypatch.setattr(VaeGan, "add_gradients", add_gradients_in_little_memory)
    run = train_to(make_settings(), 20)
    assert [message for _, message in run.warnings] == [
        "Out of memory: training continues with 4 items at a time.",
        "Out of memory: training continues with 2 items at a time.",
    ]
    assert run.saved[20].parameters > 0


def test_running_out_of_memory_for_one_image_ends_the_run(
    train_to: TrainTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_memory_error(*_: Any) -> dict[str, Tensor]:
        raise MemoryError

    monkeypatch.setattr(VaeGan, "add_gradients", raise_memory_error)
    with pytest.raises(MemoryError):
        train_to(make_settings(), 20)


@pytest.mark.parametrize(("feature_budget_fraction", "is_trained"), [(0.2, True), (0.0, False)])
def test_a_model_has_a_classifier_only_if_it_was_trained(
    train_to: TrainTo, tmp_path: Path, feature_budget_fraction: float, is_trained: bool
) -> None:
    settings = make_settings(feature_budget_fraction=feature_budget_fraction)
    path = tmp_path / "model"
    path.write_bytes(train_to(settings, 20).saved[20].model)
    tensors, _ = unpack(path)
    assert any(name.startswith("classifier.") for name in tensors) == is_trained


def test_the_prior_of_a_short_run_is_fitted_to_at_most_half_of_the_images_it_saw(
    train_to: TrainTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae_gan, "MIN_ENCODED_IMAGES", 4)
    fitted = []
    original = LatentBuffer.fit_final_prior

    def fit_final_prior(self: LatentBuffer, z: Tensor, y: Tensor) -> None:
        fitted.append((len(z), self.seen))
        original(self, z, y)

    monkeypatch.setattr(LatentBuffer, "fit_final_prior", fit_final_prior)
    train_to(make_settings(), 8)
    ((images, seen),) = fitted
    assert 4 < images <= seen / 2


def test_the_reserve_for_the_end_of_a_run_depends_on_budget_and_image_size() -> None:
    def reserve_s(side: int, seconds: float) -> float:
        data = ImageData(side, side, 3, 10, n_images=1_000, budget_seconds=seconds)
        return seconds * default_prior_budget_fraction(data)

    assert reserve_s(28, 15) == pytest.approx(0.9)
    assert reserve_s(28, 60) == pytest.approx(3)
    assert reserve_s(128, 60) > 2 * reserve_s(28, 60)
    assert reserve_s(256, 10) <= 1.8
    assert reserve_s(28, 1_800) == pytest.approx(36)
    assert default_prior_budget_fraction(ImageData(28, 28, 1, 10, n_images=1_000)) == 0
