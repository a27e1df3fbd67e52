"""Every choice of networks and loss trains, goes on, and samples by the same loop."""

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
from models.images.settings import ImageData, ImageSettings
from models.images.training import InitFrom, create_trainer, train
from models.settings import InvalidSettings
from tests.models.images.conftest import TrainTo
from tests.models.images.tiny import RecordingCallbacks, make_images, make_settings

DATA = ImageData(height=8, width=8, channels=1, classes=3, n_images=60)
NAMES = ("cvae", "cgan", "dcgan", "mlp")


def drawn(folder: Path, model: bytes) -> np.ndarray[Any, Any]:
    (folder / "model").write_bytes(model)
    sampler = ImageSampler.load(*unpack(folder / "model"))
    noise = np.random.default_rng(0).normal(size=(6, sampler.noise_size)).astype(np.float32)
    return sampler.sample(noise, np.array([0, 0, 1, 1, 2, 2]))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_broken_off_and_gone_on_with_gives_the_model_of_an_unbroken_one(
    run_to: TrainTo, tmp_path: Path, name: str
) -> None:
    settings = make_settings(architecture=name)
    whole = run_to(settings, 16)
    broken = run_to(settings, 16, every=3, killed_at=8)
    resumed = run_to(settings, 16, state=broken.saved[max(broken.saved)].state)
    assert resumed.saved[16].model == whole.saved[16].model
    images = drawn(tmp_path, whole.saved[16].model)
    assert images.shape == (6, 8, 8)
    assert len(np.unique(images.reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("loss", architectures.available_losses())
def test_every_loss_trains_the_networks_of_the_textbooks_and_those_of_auto(
    run_to: TrainTo, loss: str
) -> None:
    for name in ("vae_gan", "mlp"):
        run = run_to(make_settings(architecture=name, loss=loss), 12)
        assert {"critic_loss", "generator_loss"} <= set(run.reports[12])


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
        made = BUILTIN[name].generator(settings)(torch.randn(2, settings.latent_dim), y)
        assert made.shape == (2, channels, height, width)
        assert BUILTIN[name].critic(settings)(made, y).shape == (2,)


def test_the_variational_autoencoder_has_no_critic(run_to: TrainTo) -> None:
    last = run_to(make_settings(architecture="cvae"), 12).reports[12]
    assert "pixel_error" in last
    assert not [name for name in last if name.startswith("critic")]


@pytest.mark.parametrize(
    ("explicit", "field"),
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
def test_what_does_not_fit_is_refused_by_name(explicit: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        resolve(DATA, "fast", explicit)
    assert raised.value.field == field


def _linear(settings: AdversarialSettings) -> nn.Module:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(settings.latent_dim + settings.classes, 64)

        def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            told = nn.functional.one_hot(y, settings.classes).float()
            return torch.tanh(self.layer(torch.cat([z, told], 1))).view(-1, 1, 8, 8)

    return Linear()


LINEAR = NetworkFactory(_linear, BUILTIN["mlp"].critic)
DOUBLED = loss_module.AdversarialLoss(
    lambda real, fake: 2 * (fake - real).mean(), lambda _real, fake: -2 * fake.mean()
)


def test_networks_and_losses_of_an_installed_package_are_choices_like_the_others(
    run_to: TrainTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = [
        EntryPoint("linear", f"{__name__}:LINEAR", plugins.NETWORKS),
        EntryPoint("doubled", f"{__name__}:DOUBLED", plugins.LOSSES),
    ]
    monkeypatch.setattr(
        plugins, "installed", lambda group: [point for point in installed if point.group == group]
    )
    settings = make_settings(architecture="linear", loss="doubled")
    run = run_to(settings, 8)
    assert drawn(tmp_path, run.saved[8].model).shape == (6, 8, 8)

    installed.clear()
    with pytest.raises(UnreadableCheckpoint, match="No installed package provides 'linear'"):
        drawn(tmp_path, run.saved[8].model)


@pytest.mark.parametrize("name", ["vae_gan", "mlp"])
def test_a_warm_start_keeps_what_was_learnt_and_adds_a_label(
    run_to: TrainTo, tmp_path: Path, name: str
) -> None:
    """The labels are named in another order, and one is new: it begins as the mean of the others.
    One step later, at a small rate, all is still as it was.
    """
    before = make_settings(architecture=name)
    trained = run_to(before, 20).saved[20]
    (tmp_path / "start").write_bytes(trained.state)
    after = make_settings(classes=4, architecture=name, generator_lr=1e-6)
    first = _saved_first(after, InitFrom(tmp_path / "start", [1, -1, 0, 2]))

    had, has = _generators(tmp_path, trained.model, first)
    rows = had.label.weight
    wanted = torch.stack([rows[1], rows.mean(0), rows[0], rows[2]])
    torch.testing.assert_close(has.label.weight, wanted, rtol=0, atol=1e-2)
    others = [n for n in had.state_dict() if n.endswith(("start.weight", "hidden.0.weight"))]
    assert others
    for layer in others:
        torch.testing.assert_close(
            has.state_dict()[layer], had.state_dict()[layer], rtol=0, atol=1e-2
        )


@pytest.mark.parametrize("name", ["vae_gan", "mlp"])
def test_a_warm_start_from_a_run_that_had_hardly_begun_learns_its_own_features(
    run_to: TrainTo, tmp_path: Path, name: str
) -> None:
    settings = make_settings(architecture=name)
    begun = run_to(settings, 20, every=1, killed_at=2).saved[1]
    (tmp_path / "start").write_bytes(begun.state)
    run = RecordingCallbacks(12)
    start = InitFrom(tmp_path / "start", [0, 1, 2])
    train(make_images(settings), settings, run, seed=5, init_from=start)
    assert 12 in run.saved


def _saved_first(settings: ImageSettings, start: InitFrom) -> bytes:
    """The model of a run after its first step."""
    run = RecordingCallbacks(10_000, every=1, killed_at=2)
    with pytest.raises(KeyboardInterrupt):
        train(make_images(settings), settings, run, seed=5, init_from=start)
    return run.saved[1].model


def _generators(folder: Path, *models: bytes) -> list[Any]:
    loaded = []
    for model in models:
        (folder / "model").write_bytes(model)
        loaded.append(ImageSampler.load(*unpack(folder / "model")).generator)
    return loaded


@pytest.mark.parametrize("name", ["vae_gan", "mlp"])
def test_a_saved_state_holds_what_the_looks_found(tmp_path: Path, name: str) -> None:
    settings = make_settings(architecture=name)
    before = create_trainer(settings, make_images(settings), 1, None, None)
    before.early_stopping.update(WARMUP_STEPS, 0.4, 0.7, "auto")
    before.early_stopping.decay_start = 0.5
    (tmp_path / "state").write_bytes(before.pack().state)
    after = create_trainer(settings, make_images(settings), 1, tmp_path / "state", None)
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
