"""Who changes whom in one step of the game."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from models import losses
from models.images.vae_gan.settings import VaeGanSettings
from models.images.vae_gan.training import (
    VaeGanTrainer,
    add_critic_gradients,
    add_gradients,
    set_learning_rates,
)
from models.microbatch import accumulate_gradients
from tests.models.images.tiny import RecordingCallbacks, make_images, make_settings

LATE = 0.8  # the critic plays


@pytest.fixture
def settings() -> VaeGanSettings:
    return make_settings(classes=3)


@pytest.fixture
def nets(settings: VaeGanSettings) -> VaeGanTrainer:
    made = VaeGanTrainer(settings, make_images(settings), seed=1)
    made.freeze_features()
    made.step = 1  # no penalty at this one
    set_learning_rates(made, LATE)
    return made


@pytest.fixture
def batch(settings: VaeGanSettings) -> tuple[Tensor, Tensor]:
    data = make_images(settings)
    return data.batch(data.train[:8])


def everything(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_step_of_the_generator_changes_nothing_of_the_critic(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(nets, *batch, LATE)
    before, own = everything(nets.D), everything(nets.G)
    nets.opt_G.step()
    assert same(before, everything(nets.D))
    assert not same(own, everything(nets.G))


def test_a_step_of_the_critic_changes_nothing_of_generator_and_encoder(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(nets, *batch, LATE)
    before, own = [everything(net) for net in (nets.G, nets.E, nets.ema)], everything(nets.D)
    nets.opt_D.step()
    assert all(
        same(a, everything(b)) for a, b in zip(before, (nets.G, nets.E, nets.ema), strict=True)
    )
    assert not same(own, everything(nets.D))


def test_the_gradients_of_both_change_no_parameter_and_no_buffer_of_the_critic(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    critic, parameters = everything(nets.D), copy.deepcopy(list(nets.G.parameters()))
    add_gradients(nets, *batch, LATE)
    assert same(critic, everything(nets.D))
    assert all(torch.equal(a, b) for a, b in zip(parameters, nets.G.parameters(), strict=True))


@pytest.mark.parametrize("step", [1, 8])
def test_one_pass_back_through_the_critic_gives_the_gradients_of_two(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor], step: int
) -> None:
    """Step 8 has a gradient penalty, step 1 has none."""
    nets.step = step
    real, y = batch
    made = torch.rand_like(real).mul(2).sub(1)
    pull, _ = add_critic_gradients(nets, real, made, y, LATE)
    of_critic = [p.grad.clone() for p in nets.D.parameters() if p.grad is not None]
    nets.D.zero_grad()

    shown = made.clone().requires_grad_(True)
    losses.relativistic_generator(nets.D(real, y), nets.D(shown, y)).backward()
    assert shown.grad is not None
    torch.testing.assert_close(pull, shown.grad, rtol=1e-4, atol=1e-7)

    if step % nets.settings.r1_interval:
        nets.D.zero_grad()
        losses.relativistic_critic(nets.D(real, y), nets.D(made, y)).backward()
        again = [p.grad for p in nets.D.parameters() if p.grad is not None]
        torch.testing.assert_close(of_critic, again, rtol=1e-4, atol=1e-6)


def test_every_parameter_learns(nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]) -> None:
    add_gradients(nets, *batch, LATE)
    for name, gradient in _gradients(nets):
        assert gradient is not None, name
        assert gradient.abs().sum() > 0, name


def _gradients(nets: VaeGanTrainer) -> Iterator[tuple[str, Tensor | None]]:
    for side in ("G", "E", "D"):
        for name, parameter in getattr(nets, side).named_parameters():
            yield f"{side}.{name}", parameter.grad


def test_before_the_critic_joins_it_learns_nothing(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(nets, *batch, 0.3)
    assert all(p.grad is None for p in nets.D.parameters())


def test_the_frozen_features_are_those_that_were_learnt(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    for part in nets.features.classifier.modules():  # norms that have seen something
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
    nets.freeze_features()
    assert nets.features.frozen is not None
    with torch.no_grad():
        torch.testing.assert_close(
            nets.features.frozen.levels(batch[0]), nets.features.classifier.eval().levels(batch[0])
        )
    assert not any(parameter.requires_grad for parameter in nets.features.frozen.parameters())


def test_parts_of_a_batch_add_up_to_the_whole(
    nets: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    """The norms see each part alone: here they are as in sampling. The encoder is sure, for its
    noise is drawn part by part, too.
    """
    nets.step = nets.settings.r1_interval
    nets.G.eval()
    with torch.no_grad():
        nets.E.moments.bias[nets.settings.latent_dim :] = -100.0
    found = []
    for at_once in (8, 3):
        torch.manual_seed(0)
        accumulate_gradients(
            batch,
            at_once,
            lambda: [o.zero_grad() for o in (nets.opt_G, nets.opt_D)] and None,
            lambda real, y, share: add_gradients(nets, real, y, LATE, share),
            nets.step,
            RecordingCallbacks(1),
        )
        found.append([g.clone() for _, g in _gradients(nets) if g is not None])
    for whole, parts in zip(*found, strict=True):
        assert (parts - whole).norm() < 0.1 * whole.norm() + 1e-4
