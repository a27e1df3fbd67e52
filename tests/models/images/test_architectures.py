"""Every choice of networks and loss trains, resumes and samples with the same loop."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models import losses as loss_module
from models import plugins
from models.checkpoint import UnreadableCheckpoint, unpack
from models.images import architectures
from models.images.adversarial.networks import BUILTIN, NetworkFactory
from models.images.adversarial.settings import AdversarialSettings
from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.early_stopping import WARMUP_STEPS
from models.images.sampling import ImageSampler
from models.images.settings import PRESETS, ImageData, ImageSettings
from models.images.training import ImageTrainer, InitFrom, train
from models.settings import InvalidSettings
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import RecordingCallbacks, make_images, make_settings

IMAGE_DATA = ImageData(height=8, width=8, channels=1, classes=3, n_images=60)
ARCHITECTURES = ("cvae", "cgan", "dcgan", "mlp", "r3gan")


def sample_images(folder: Path, model: bytes) -> np.ndarray[Any, Any]:
    (folder / "model").write_bytes(model)
    sampler = ImageSampler.load(*unpack(folder / "model"))
    noise = np.random.default_rng(0).normal(size=(6, sampler.noise_size)).astype(np.float32)
    return sampler.sample(noise, np.array([0, 0, 1, 1, 2, 2]))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_resumed_run_gives_the_model_of_an_uninterrupted_run(
    train_to: TrainTo, tmp_path: Path, name: str
) -> None:
    settings = make_settings(architecture=name)
    uninterrupted = train_to(settings, 16)
    interrupted = train_to(settings, 16, checkpoint_interval=3, interrupt_at=8)
    resumed = train_to(settings, 16, state=interrupted.saved[max(interrupted.saved)].state)
    assert resumed.saved[16].model == uninterrupted.saved[16].model
    images = sample_images(tmp_path, uninterrupted.saved[16].model)
    assert images.shape == (6, 8, 8)
    assert len(np.unique(images.reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("preset", list(PRESETS["gpu"]))
@pytest.mark.parametrize("name", ["vae_gan", "r3gan"])
def test_presets_of_a_gpu_have_larger_networks_that_train(
    train_to: TrainTo, name: str, preset: str
) -> None:
    explicit = {"architecture": name, "feature_budget_fraction": 0.2}
    data = ImageData(8, 8, 1, 3, n_images=10_000)
    on_cpu = resolve(data, preset, explicit)
    on_gpu = resolve(replace(data, device="gpu"), preset, explicit)
    assert on_gpu.batch_size > on_cpu.batch_size
    runs = [train_to(replace(settings, batch_size=4), 4) for settings in (on_cpu, on_gpu)]
    assert runs[1].saved[4].parameters > runs[0].saved[4].parameters


@pytest.mark.parametrize("loss", architectures.available_losses())
def test_every_loss_trains_textbook_and_default_networks(train_to: TrainTo, loss: str) -> None:
    for name in ("vae_gan", "mlp"):
        run = train_to(make_settings(architecture=name, loss=loss), 12)
        assert {"critic_loss", "generator_loss"} <= set(run.metrics[12])


@pytest.mark.parametrize("name", list(BUILTIN))
@pytest.mark.parametrize(
    ("height", "width", "channels", "classes"), [(28, 28, 1, 10), (40, 21, 3, 2), (9, 64, 1, 1)]
)
def test_textbook_networks_fit_any_size(
    name: str, height: int, width: int, channels: int, classes: int
) -> None:
    settings = make_settings(height, width, channels, classes, architecture=name)
    assert isinstance(settings, AdversarialSettings)
    for norm in ("none", "batch"):
        settings = make_settings(
            height, width, channels, classes, architecture=name, critic_norm=norm
        )
        assert isinstance(settings, AdversarialSettings)
        y = torch.zeros(2, dtype=torch.long)
        images = BUILTIN[name].generator(settings)(torch.randn(2, settings.latent_dim), y)
        assert images.shape == (2, channels, height, width)
        assert BUILTIN[name].critic(settings)(images, y).shape == (2,)


def test_the_variational_autoencoder_has_no_critic(train_to: TrainTo) -> None:
    metrics = train_to(make_settings(architecture="cvae"), 12).metrics[12]
    assert "pixel_error" in metrics
    assert not [name for name in metrics if name.startswith("critic")]


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"architecture": "gan"}, "architecture"),
        ({"architecture": "mlp", "coarse_channels": 8}, "coarse_channels"),
        ({"generator_width": 8}, "generator_width"),
        ({"loss": "wasserstein"}, "loss"),
        ({"architecture": "cvae", "loss": "hinge"}, "loss"),
        ({"loss": "elbo"}, "loss"),
        ({"architecture": "dcgan", "critic_norm": "layer"}, "critic_norm"),
        ({"feature_budget_fraction": 0.3, "critic_start_fraction": 0.2}, "critic_start_fraction"),
    ],
)
def test_invalid_settings_are_rejected_by_name(overrides: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        resolve(IMAGE_DATA, "fast", overrides)
    assert error.value.field == field


def _linear(settings: AdversarialSettings) -> nn.Module:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(settings.latent_dim + settings.classes, 64)

        def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            one_hot = nn.functional.one_hot(y, settings.classes).float()
            return torch.tanh(self.layer(torch.cat([z, one_hot], 1))).view(-1, 1, 8, 8)

    return Linear()


LINEAR = NetworkFactory(_linear, BUILTIN["mlp"].critic)
DOUBLED = loss_module.AdversarialLoss(
    lambda real, fake: 2 * (fake - real).mean(), lambda _real, fake: -2 * fake.mean()
)


def test_networks_and_losses_of_an_installed_package_can_be_chosen(
    train_to: TrainTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = [
        EntryPoint("linear", f"{__name__}:LINEAR", plugins.NETWORKS),
        EntryPoint("doubled", f"{__name__}:DOUBLED", plugins.LOSSES),
    ]
    monkeypatch.setattr(
        plugins, "installed", lambda group: [point for point in installed if point.group == group]
    )
    settings = make_settings(architecture="linear", loss="doubled")
    run = train_to(settings, 8)
    assert sample_images(tmp_path, run.saved[8].model).shape == (6, 8, 8)

    installed.clear()
    with pytest.raises(UnreadableCheckpoint, match="No installed package provides 'linear'"):
        sample_images(tmp_path, run.saved[8].model)


@pytest.mark.parametrize("name", ["vae_gan", "mlp"])
def test_a_warm_start_keeps_the_weights_and_adds_a_label(
    train_to: TrainTo, tmp_path: Path, name: str
) -> None:
    """Start from a model whose labels have another order, and add a new label.

    The new label starts as the mean of the others. One step later, at a small learning rate, the
    weights are still close to the start.
    """
    before = make_settings(architecture=name)
    trained = train_to(before, 20).saved[20]
    (tmp_path / "start").write_bytes(trained.state)
    after = make_settings(classes=4, architecture=name, generator_lr=1e-6)
    first_model = _train_first_step(after, InitFrom(tmp_path / "start", [1, -1, 0, 2]))

    old, new = _load_generators(tmp_path, trained.model, first_model)
    old_labels = old.label.weight
    expected = torch.stack([old_labels[1], old_labels.mean(0), old_labels[0], old_labels[2]])
    torch.testing.assert_close(new.label.weight, expected, rtol=0, atol=1e-2)
    layers = [n for n in old.state_dict() if n.endswith(("start.weight", "hidden.0.weight"))]
    assert layers
    for layer in layers:
        torch.testing.assert_close(
            new.state_dict()[layer], old.state_dict()[layer], rtol=0, atol=1e-2
        )


@pytest.mark.parametrize("name", ["vae_gan", "mlp"])
def test_a_warm_start_from_an_early_checkpoint_trains_its_own_features(
    train_to: TrainTo, tmp_path: Path, name: str
) -> None:
    settings = make_settings(architecture=name)
    early_checkpoint = train_to(settings, 20, checkpoint_interval=1, interrupt_at=2).saved[1]
    (tmp_path / "start").write_bytes(early_checkpoint.state)
    run = RecordingCallbacks(12)
    start = InitFrom(tmp_path / "start", [0, 1, 2])
    train(make_images(settings), settings, run, seed=5, init_from=start)
    assert 12 in run.saved


def _train_first_step(settings: ImageSettings, start: InitFrom) -> bytes:
    """Return the model of a run after its first step."""
    run = RecordingCallbacks(10_000, checkpoint_interval=1, interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        train(make_images(settings), settings, run, seed=5, init_from=start)
    return run.saved[1].model


def _load_generators(folder: Path, *models: bytes) -> list[Any]:
    generators = []
    for model in models:
        (folder / "model").write_bytes(model)
        generators.append(ImageSampler.load(*unpack(folder / "model")).generator)
    return generators


@pytest.mark.parametrize("name", ["vae_gan", "mlp"])
def test_a_saved_state_includes_early_stopping(tmp_path: Path, name: str) -> None:
    settings = make_settings(architecture=name)
    before = ImageTrainer(settings, make_images(settings), 1)
    before.early_stopping.update(WARMUP_STEPS, 0.4, 0.7, "auto")
    before.early_stopping.decay_start = 0.5
    (tmp_path / "state").write_bytes(before.pack().state)
    after = ImageTrainer(settings, make_images(settings), 1)
    after.load(tmp_path / "state")
    assert after.early_stopping == before.early_stopping


@pytest.mark.slow
def test_large_images_of_a_thousand_labels_train_and_sample(tmp_path: Path) -> None:
    settings = make_settings(128, 128, 3, 1_000)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (1_000, 128, 128, 3), np.uint8)
    data = LabeledImages.split(
        pixels, np.arange(1_000, dtype=np.int32), holdout_fraction=0.0, seed=1
    )
    run = RecordingCallbacks(2)
    train(data, settings, run, seed=1)
    (tmp_path / "model").write_bytes(run.saved[2].model)
    sampler = ImageSampler.load(*unpack(tmp_path / "model"))
    noise = np.zeros((2, sampler.noise_size), np.float32)
    assert sampler.sample(noise, np.array([0, 999])).shape == (2, 128, 128, 3)
