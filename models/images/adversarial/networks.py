"""The textbooks' generators and critics, made conditional and fit for any size.

Shapes: B batch, Z noise, K classes, C channels, (H, W) image. Images are floats in [-1, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models import plugins
from models.images.adversarial.settings import AdversarialSettings

LABEL_FEATURES = 32


@dataclass(frozen=True)
class NetworkFactory:
    """What an architecture is made of; also what a package registers as one.

    The generator takes (B, Z) noise and (B,) labels and gives (B, C, H, W) images in [-1, 1]; the
    critic takes (B, C, H, W) and (B,) and gives (B,) scores, higher for more real. An image's score
    must not depend on its neighbours, unless `critic_norm` says so.
    """

    generator: Callable[[AdversarialSettings], nn.Module]
    critic: Callable[[AdversarialSettings], nn.Module]


class Embedding(nn.Embedding):
    """Normal numbers of a chosen size: textbooks' frameworks begin with very small ones."""

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
    """Noise and label, three hidden layers (128, 128, 100 as a rule), pixels (Goodfellow et al.
    2014, 1406.2661; Mirza & Osindero 2014, 1411.1784)."""

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
    """The generator's layers the other way round."""

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
    """Noise times the label's embedding, then transposed convolutions: the conditional GAN of Langr
    & Bok, "GANs in Action" (2019), chapter 8."""

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
    """The label's embedding lies beside the image, as large as it (the same chapter)."""

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
        height, wide = (-(-side // 8) for side in shape[1:])
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(channels * height * wide, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        plane = self.label(y).view_as(x)
        return self.score(self.layers(torch.cat([x, plane], 1)))[:, 0]


class ConvolutionalGenerator(nn.Module):
    """Transposed convolutions from 4 x 4 upwards, batch norm, ReLU (DCGAN, Radford et al. 2016,
    1511.06434), with the label's embedding beside the noise."""

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
    """Strided convolutions down to 4 x 4 (DCGAN); the label enters by projection (Miyato & Koyama
    2018, 1802.05637)."""

    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        height, wide = settings.height, settings.width
        inputs, channels = settings.channels, settings.critic_width
        layers: list[nn.Module] = []
        while True:
            layers += [nn.Conv2d(inputs, channels, 4, 2, 1)]
            layers += [_norm(settings, channels)] if len(layers) > 1 else []
            layers += [nn.LeakyReLU(0.2)]
            height, wide = max(1, height // 2), max(1, wide // 2)
            if min(height, wide) < 2 or max(height, wide) <= 4:
                break
            inputs, channels = channels, min(2 * channels, 512)
        self.layers = nn.Sequential(*layers, nn.Flatten())
        features = channels * height * wide
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
}


def get_network_factory(architecture: str) -> NetworkFactory:
    """Of this module, or of a package that was installed beside it. Raises KeyError."""
    if architecture in BUILTIN:
        return BUILTIN[architecture]
    return plugins.load(plugins.NETWORKS, architecture, NetworkFactory)
