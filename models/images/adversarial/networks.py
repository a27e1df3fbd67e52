"""Textbook generators and critics, extended to labels and to any image size.

Shapes: B batch, Z noise, K classes, C channels, (H, W) image. Images are floats in [-1, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models import plugins
from models.images.adversarial.residual_networks import ResidualCritic, ResidualGenerator
from models.images.adversarial.settings import AdversarialSettings

LABEL_FEATURES = 32


@dataclass(frozen=True)
class NetworkFactory:
    """Constructors of an architecture's networks. A plugin registers an object of this class.

    The generator maps (B, Z) noise and (B,) labels to (B, C, H, W) images in [-1, 1]. The critic
    maps (B, C, H, W) images and (B,) labels to (B,) scores, higher for more real. The score of an
    image must not depend on the rest of the batch, except for batch norm (`critic_norm`).
    """

    generator: Callable[[AdversarialSettings], nn.Module]
    critic: Callable[[AdversarialSettings], nn.Module]


class Embedding(nn.Embedding):
    """Embedding with a configurable initial scale.

    torch initializes embeddings with standard deviation 1; the textbooks' frameworks use much less.
    """

    def __init__(self, settings: AdversarialSettings, size: int) -> None:
        super().__init__(settings.classes, size)
        nn.init.normal_(self.weight, std=settings.label_embedding_std)


def _norm(settings: AdversarialSettings, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if settings.critic_norm == "batch" else nn.Identity()


def _perceptron(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class PerceptronGenerator(nn.Module):
    """Perceptron with three hidden layers, of 128, 128 and 100 units at the default width.

    Sources: Goodfellow et al. 2014, 1406.2661; Mirza & Osindero 2014, 1411.1784.
    """

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        self.shape = settings.channels, settings.height, settings.width
        width = settings.generator_width
        last = width * 25 // 32
        self.label = Embedding(settings, LABEL_FEATURES)
        self.hidden = _perceptron(settings.latent_dim + LABEL_FEATURES, width, width, last)
        self.out = nn.Linear(last, math.prod(self.shape))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        h = self.hidden(torch.cat([z, self.label(y)], 1))
        return torch.tanh(self.out(h)).view(len(z), *self.shape)


class PerceptronCritic(nn.Module):
    """Perceptron with the hidden layers of PerceptronGenerator in reverse order."""

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        pixels = settings.channels * settings.height * settings.width
        width = settings.critic_width
        self.label = Embedding(settings, LABEL_FEATURES)
        self.hidden = _perceptron(pixels + LABEL_FEATURES, width * 25 // 32, width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.score(self.hidden(torch.cat([x.flatten(1), self.label(y)], 1)))[:, 0]


class LabelEmbeddingGenerator(nn.Module):
    """Transposed convolutions of the product of the noise and the label's embedding.

    Source: the conditional GAN of Langr & Bok, "GANs in Action" (2019), chapter 8.
    """

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        width = settings.generator_width
        self.size = settings.height, settings.width
        self.base = -(-settings.height // 4), -(-settings.width // 4)
        self.label = Embedding(settings, settings.latent_dim)
        self.start = nn.Linear(settings.latent_dim, width * math.prod(self.base))
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1),
            nn.BatchNorm2d(width // 2),
            nn.LeakyReLU(0.01),
            nn.ConvTranspose2d(width // 2, width // 4, 3, 1, 1),
            nn.BatchNorm2d(width // 4),
            nn.LeakyReLU(0.01),
            nn.ConvTranspose2d(width // 4, settings.channels, 3, 2, 1, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.start(z * self.label(y)).view(len(z), -1, *self.base)
        height, width = self.size
        return self.layers(x)[:, :, :height, :width]


class LabelPlaneCritic(nn.Module):
    """Critic that gets the label's embedding as additional channels of the image's size.

    Source: the same chapter as LabelEmbeddingGenerator.
    """

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        width = settings.critic_width
        shape = settings.channels, settings.height, settings.width
        self.label = Embedding(settings, math.prod(shape))
        layers: list[nn.Module] = []
        channels = 2 * settings.channels
        for i, wider in enumerate((width, width, 2 * width)):
            layers += [nn.Conv2d(channels, wider, 3, 2, 1)]
            layers += [_norm(settings, wider)] if i else []
            layers += [nn.LeakyReLU(0.01)]
            channels = wider
        final_height, final_width = (-(-side // 8) for side in shape[1:])
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(channels * final_height * final_width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        plane = self.label(y).view_as(x)
        return self.score(self.layers(torch.cat([x, plane], 1)))[:, 0]


class ConvolutionalGenerator(nn.Module):
    """Transposed convolutions from about 4 x 4 pixels upwards, with batch norm and ReLU (DCGAN).

    Source: Radford et al. 2016, 1511.06434. The label's embedding is concatenated with the noise.
    """

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        self.size = settings.height, settings.width
        doublings = max(1, math.ceil(math.log2(max(self.size) / 4)))
        self.base = -(-settings.height // 2**doublings), -(-settings.width // 2**doublings)
        channels = settings.generator_width
        self.label = Embedding(settings, LABEL_FEATURES)
        inputs = settings.latent_dim + LABEL_FEATURES
        self.start = nn.Linear(inputs, channels * math.prod(self.base), bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels), nn.ReLU()]
        for _ in range(doublings - 1):
            narrower = max(channels // 2, 8)
            layers += [nn.ConvTranspose2d(channels, narrower, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(narrower), nn.ReLU()]
            channels = narrower
        layers += [nn.ConvTranspose2d(channels, settings.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.start(torch.cat([z, self.label(y)], 1)).view(len(z), -1, *self.base)
        height, width = self.size
        return self.layers(x)[:, :, :height, :width]


class ConvolutionalCritic(nn.Module):
    """Strided convolutions down to about 4 x 4 pixels (DCGAN) with a projection of the label.

    The score is w . h + b + e_y . h / sqrt(N), for N features h and the label's embedding e_y
    (Miyato & Koyama 2018, 1802.05637).
    """

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        height, width = settings.height, settings.width
        inputs, channels = settings.channels, settings.critic_width
        layers: list[nn.Module] = []
        while True:
            layers += [nn.Conv2d(inputs, channels, 4, 2, 1)]
            layers += [_norm(settings, channels)] if len(layers) > 1 else []
            layers += [nn.LeakyReLU(0.2)]
            height, width = max(1, height // 2), max(1, width // 2)
            if min(height, width) < 2 or max(height, width) <= 4:
                break
            inputs, channels = channels, min(2 * channels, 512)
        self.layers = nn.Sequential(*layers, nn.Flatten())
        features = channels * height * width
        self.score = nn.Linear(features, 1)
        self.label = Embedding(settings, features)
        self.scale = 1 / math.sqrt(features)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.layers(x)
        return self.score(h)[:, 0] + self.scale * (self.label(y) * h).sum(1)


BUILTIN = {
    "cgan": NetworkFactory(LabelEmbeddingGenerator, LabelPlaneCritic),
    "dcgan": NetworkFactory(ConvolutionalGenerator, ConvolutionalCritic),
    "mlp": NetworkFactory(PerceptronGenerator, PerceptronCritic),
    "r3gan": NetworkFactory(ResidualGenerator, ResidualCritic),
}


def get_network_factory(architecture: str) -> NetworkFactory:
    """Return an architecture of this module, or one that an installed package registers.

    Raises:
        KeyError: No architecture has this name.
    """
    if architecture in BUILTIN:
        return BUILTIN[architecture]
    return plugins.load(plugins.NETWORKS, architecture, NetworkFactory)
