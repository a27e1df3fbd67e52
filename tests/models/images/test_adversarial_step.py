"""Gradients and weight changes of one adversarial training step."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from models import losses
from models.images.data import ImageBatches
from models.images.feature_extractor import FeatureNetwork
from models.images.vae_gan.settings import VaeGanSettings
from models.images.vae_gan.training import VaeGan, set_learning_rates
from models.losses import LOSSES
from models.microbatch import Batch, Part, Position, split
from tests.models.images.tiny import make_images, make_settings

AFTER_CRITIC_START = Position(1, 0.8)  # The critic is trained, without a gradient penalty.


@pytest.fixture
def settings() -> VaeGanSettings:
    return make_settings(classes=3)


@pytest.fixture
def networks(settings: VaeGanSettings) -> VaeGan:
    torch.manual_seed(1)
    images = make_images(settings)
    features = FeatureNetwork(settings, ImageBatches(images, 8, 1))
    networks = VaeGan(settings, images, features, seed=1)
    features.freeze()
    networks.prepare()
    set_learning_rates(networks, AFTER_CRITIC_START.progress)
    return networks


@pytest.fixture
def batch(settings: VaeGanSettings) -> Batch:
    """Return images, labels and noise of the encoder."""
    data = make_images(settings)
    return *data.batch(data.train[:8]), torch.randn(8, settings.latent_dim)


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal_states(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_generator_step_does_not_change_the_critic(networks: VaeGan, batch: Batch) -> None:
    networks.add_gradients(Part(batch, AFTER_CRITIC_START))
    before, generator = copy_state(networks.D), copy_state(networks.G)
    networks.opt_G.step()
    assert equal_states(before, copy_state(networks.D))
    assert not equal_states(generator, copy_state(networks.G))


def test_a_critic_step_does_not_change_generator_and_encoder(
    networks: VaeGan, batch: Batch
) -> None:
    networks.add_gradients(Part(batch, AFTER_CRITIC_START))
    before = [copy_state(net) for net in (networks.G, networks.E, networks.average.network)]
    critic = copy_state(networks.D)
    networks.opt_D.step()
    assert all(
        equal_states(a, copy_state(b))
        for a, b in zip(before, (networks.G, networks.E, networks.average.network), strict=True)
    )
    assert not equal_states(critic, copy_state(networks.D))


def test_computing_gradients_changes_no_weights(networks: VaeGan, batch: Batch) -> None:
    critic, parameters = copy_state(networks.D), copy.deepcopy(list(networks.G.parameters()))
    networks.add_gradients(Part(batch, AFTER_CRITIC_START))
    assert equal_states(critic, copy_state(networks.D))
    assert all(torch.equal(a, b) for a, b in zip(parameters, networks.G.parameters(), strict=True))


def test_one_backward_pass_through_the_critic_equals_two(networks: VaeGan, batch: Batch) -> None:
    real, y, _ = batch
    fake = torch.rand_like(real).mul(2).sub(1).requires_grad_(True)
    real_scores, fake_scores = networks.D(torch.cat([real, fake]), torch.cat([y, y])).chunk(2)
    step = losses.critic_step(LOSSES["relativistic"], real_scores, fake_scores, fake)
    critic_grads = [p.grad.clone() for p in networks.D.parameters() if p.grad is not None]

    critic_input = fake.detach().clone().requires_grad_(True)
    losses.relativistic_generator(networks.D(real, y), networks.D(critic_input, y)).backward()
    assert critic_input.grad is not None
    torch.testing.assert_close(step.generator_grad, critic_input.grad, rtol=1e-4, atol=1e-7)

    networks.D.zero_grad()
    losses.relativistic_critic(networks.D(real, y), networks.D(fake.detach(), y)).backward()
    separate_grads = [p.grad for p in networks.D.parameters() if p.grad is not None]
    torch.testing.assert_close(critic_grads, separate_grads, rtol=1e-4, atol=1e-6)


def test_every_parameter_gets_a_gradient(networks: VaeGan, batch: Batch) -> None:
    networks.add_gradients(Part(batch, AFTER_CRITIC_START))
    for name, gradient in _gradients(networks):
        assert gradient is not None, name
        assert gradient.abs().sum() > 0, name


def _gradients(networks: VaeGan) -> Iterator[tuple[str, Tensor | None]]:
    for network in ("G", "E", "D"):
        for name, parameter in getattr(networks, network).named_parameters():
            yield f"{network}.{name}", parameter.grad


def test_the_critic_gets_no_gradients_before_its_start(networks: VaeGan, batch: Batch) -> None:
    networks.add_gradients(Part(batch, Position(1, 0.3)))
    assert all(p.grad is None for p in networks.D.parameters())


def test_frozen_features_equal_the_trained_features(networks: VaeGan, batch: Batch) -> None:
    for part in networks.features.classifier.modules():  # norms with running statistics
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
    networks.features.freeze()
    assert networks.features.frozen is not None
    with torch.no_grad():
        torch.testing.assert_close(
            networks.features.frozen.levels(batch[0]),
            networks.features.classifier.eval().levels(batch[0]),
        )
    assert not any(parameter.requires_grad for parameter in networks.features.frozen.parameters())


def test_micro_batch_gradients_add_up_to_the_full_batch(networks: VaeGan, batch: Batch) -> None:
    """Compare the gradients of micro-batches with those of the full batch.

    Batch norms depend on the micro-batch, so they are in evaluation mode.
    """
    position = Position(networks.settings.r1_interval, AFTER_CRITIC_START.progress)
    networks.G.eval()
    gradients = []
    for micro_batch_size in (8, 3):
        for optimizer in networks.optimizers:
            optimizer.zero_grad()
        networks.begin_step(position)
        for part in split(batch, micro_batch_size, position):
            networks.add_gradients(part)
        gradients.append(
            [gradient.clone() for _, gradient in _gradients(networks) if gradient is not None]
        )
    for full, accumulated in zip(*gradients, strict=True):
        assert (accumulated - full).norm() < 0.1 * full.norm() + 1e-4
