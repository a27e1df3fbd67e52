"""Gradients and weight changes of one adversarial training step."""

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

AFTER_CRITIC_START = 0.8  # progress at which the critic is trained


@pytest.fixture
def settings() -> VaeGanSettings:
    return make_settings(classes=3)


@pytest.fixture
def trainer(settings: VaeGanSettings) -> VaeGanTrainer:
    trainer = VaeGanTrainer(settings, make_images(settings), seed=1)
    trainer.freeze_features()
    trainer.step = 1  # no gradient penalty at this step
    set_learning_rates(trainer, AFTER_CRITIC_START)
    return trainer


@pytest.fixture
def batch(settings: VaeGanSettings) -> tuple[Tensor, Tensor]:
    data = make_images(settings)
    return data.batch(data.train[:8])


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal_states(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_generator_step_does_not_change_the_critic(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(trainer, *batch, AFTER_CRITIC_START)
    before, generator = copy_state(trainer.D), copy_state(trainer.G)
    trainer.opt_G.step()
    assert equal_states(before, copy_state(trainer.D))
    assert not equal_states(generator, copy_state(trainer.G))


def test_a_critic_step_does_not_change_generator_and_encoder(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(trainer, *batch, AFTER_CRITIC_START)
    before = [copy_state(net) for net in (trainer.G, trainer.E, trainer.ema)]
    critic = copy_state(trainer.D)
    trainer.opt_D.step()
    assert all(
        equal_states(a, copy_state(b))
        for a, b in zip(before, (trainer.G, trainer.E, trainer.ema), strict=True)
    )
    assert not equal_states(critic, copy_state(trainer.D))


def test_computing_gradients_changes_no_weights(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    critic, parameters = copy_state(trainer.D), copy.deepcopy(list(trainer.G.parameters()))
    add_gradients(trainer, *batch, AFTER_CRITIC_START)
    assert equal_states(critic, copy_state(trainer.D))
    assert all(torch.equal(a, b) for a, b in zip(parameters, trainer.G.parameters(), strict=True))


@pytest.mark.parametrize("step", [1, 8])
def test_one_backward_pass_through_the_critic_equals_two(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor], step: int
) -> None:
    """Step 8 has a gradient penalty, step 1 has none."""
    trainer.step = step
    real, y = batch
    fake = torch.rand_like(real).mul(2).sub(1)
    generator_grad, _ = add_critic_gradients(trainer, real, fake, y, AFTER_CRITIC_START)
    critic_grads = [p.grad.clone() for p in trainer.D.parameters() if p.grad is not None]
    trainer.D.zero_grad()

    critic_input = fake.clone().requires_grad_(True)
    losses.relativistic_generator(trainer.D(real, y), trainer.D(critic_input, y)).backward()
    assert critic_input.grad is not None
    torch.testing.assert_close(generator_grad, critic_input.grad, rtol=1e-4, atol=1e-7)

    if step % trainer.settings.r1_interval:
        trainer.D.zero_grad()
        losses.relativistic_critic(trainer.D(real, y), trainer.D(fake, y)).backward()
        separate_grads = [p.grad for p in trainer.D.parameters() if p.grad is not None]
        torch.testing.assert_close(critic_grads, separate_grads, rtol=1e-4, atol=1e-6)


def test_every_parameter_gets_a_gradient(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(trainer, *batch, AFTER_CRITIC_START)
    for name, gradient in _gradients(trainer):
        assert gradient is not None, name
        assert gradient.abs().sum() > 0, name


def _gradients(trainer: VaeGanTrainer) -> Iterator[tuple[str, Tensor | None]]:
    for network in ("G", "E", "D"):
        for name, parameter in getattr(trainer, network).named_parameters():
            yield f"{network}.{name}", parameter.grad


def test_the_critic_gets_no_gradients_before_its_start(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    add_gradients(trainer, *batch, 0.3)
    assert all(p.grad is None for p in trainer.D.parameters())


def test_frozen_features_equal_the_trained_features(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    for part in trainer.features.classifier.modules():  # norms with running statistics
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
    trainer.freeze_features()
    assert trainer.features.frozen is not None
    with torch.no_grad():
        torch.testing.assert_close(
            trainer.features.frozen.levels(batch[0]),
            trainer.features.classifier.eval().levels(batch[0]),
        )
    assert not any(parameter.requires_grad for parameter in trainer.features.frozen.parameters())


def test_micro_batch_gradients_add_up_to_the_full_batch(
    trainer: VaeGanTrainer, batch: tuple[Tensor, Tensor]
) -> None:
    """Compare the gradients of micro-batches with those of the full batch.

    Batch norms and the noise of the encoder depend on the micro-batch, so norms are in evaluation
    mode and the encoder has almost no variance.
    """
    trainer.step = trainer.settings.r1_interval
    trainer.G.eval()
    with torch.no_grad():
        trainer.E.moments.bias[trainer.settings.latent_dim :] = -100.0
    gradients = []
    for micro_batch_size in (8, 3):
        torch.manual_seed(0)
        accumulate_gradients(
            batch,
            micro_batch_size,
            lambda: [opt.zero_grad() for opt in (trainer.opt_G, trainer.opt_D)] and None,
            lambda real, y, share: add_gradients(trainer, real, y, AFTER_CRITIC_START, share),
            trainer.step,
            RecordingCallbacks(1),
        )
        gradients.append(
            [gradient.clone() for _, gradient in _gradients(trainer) if gradient is not None]
        )
    for full, accumulated in zip(*gradients, strict=True):
        assert (accumulated - full).norm() < 0.1 * full.norm() + 1e-4
