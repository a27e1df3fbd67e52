"""Residual generator and critic without normalization, in the shape of R3GAN.

Huang et al. 2024, 2501.05441: stages of inverted bottlenecks with grouped convolutions, between
resampling layers, from 4 x 4 pixels to the image and back. The label's embedding is concatenated
with the noise, and projected on the critic's features (Miyato & Koyama 2018, 1802.05637).

Resampling repeats or averages pixels, because the backward pass of bilinear interpolation is not
deterministic on a GPU; a smoothing filter follows the repetition (Karras et al. 2019, 1812.04948).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.images.adversarial.settings import AdversarialSettings

LABEL_FEATURES = 32
GROUP_SIZE = 16  # channels of a group of the grouped convolutions
EXPANSION = 2  # width of a block's middle, relative to its ends
BLOCKS = 2  # of each stage
NARROWEST = 32  # channels, at least, of the finest stage
GAIN = math.sqrt(2 / (1 + 0.2**2))  # of a leaky ReLU with slope 0.2 (He et al. 2015, 1502.01852)


class ResidualBlock(nn.Module):
    """x + W3 lrelu(W2 lrelu(W1 x)), where W2 is a grouped 3 x 3 and the others 1 x 1 convolutions.

    The last layer starts at 0 and the others are scaled by the number of blocks, so that a network
    without normalization is stable (Fixup, Zhang et al. 2019, 1901.09321).
    """

    def __init__(self, channels: int, num_blocks: int) -> None:
        super().__init__()
        middle = EXPANSION * channels
        groups = max(1, middle // GROUP_SIZE) if middle % GROUP_SIZE == 0 else 1
        self.first = nn.Conv2d(channels, middle, 1)
        self.second = nn.Conv2d(middle, middle, 3, padding=1, groups=groups)
        self.third = nn.Conv2d(middle, channels, 1, bias=False)
        for layer in (self.first, self.second):
            _init(layer, GAIN * num_blocks**-0.25)
        nn.init.zeros_(self.third.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(x), 0.2)
        return x + self.third(F.leaky_relu(self.second(h), 0.2))


class ResidualGenerator(nn.Module):
    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        self.size = settings.height, settings.width
        halvings = _halvings(settings)
        self.base = tuple(-(-side // 2**halvings) for side in self.size)
        self.label = _label_embedding(settings, LABEL_FEATURES)
        widths = _widths(settings.generator_width, halvings)
        inputs = settings.latent_dim + LABEL_FEATURES
        self.start = nn.Linear(inputs, widths[0] * math.prod(self.base))
        self.stages = _stages(widths)
        self.transitions = _transitions(widths)
        self.end = _init(nn.Conv2d(widths[-1], settings.channels, 1))
        self.register_buffer("filter", _binomial_filter(), persistent=False)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.start(torch.cat([z, self.label(y)], 1)).view(len(z), -1, *self.base)
        x = self.stages[0](x)
        for transition, stage in zip(self.transitions, self.stages[1:], strict=True):
            x = _smooth(F.interpolate(transition(x), scale_factor=2.0), self.get_buffer("filter"))
            x = stage(x)
        height, width = self.size
        return torch.tanh(self.end(x)[:, :, :height, :width])


class ResidualCritic(nn.Module):
    def __init__(self, settings: AdversarialSettings) -> None:
        super().__init__()
        halvings = _halvings(settings)
        height, width = (-(-side // 2**halvings) for side in (settings.height, settings.width))
        scale = 2**halvings
        self.padding = (0, scale * width - settings.width, 0, scale * height - settings.height)
        widths = _widths(settings.critic_width, halvings)[::-1]
        self.start = _init(nn.Conv2d(settings.channels, widths[0], 1))
        self.stages = _stages(widths)
        self.transitions = _transitions(widths)
        # Each channel is reduced to one feature by its own weights, then all are mixed.
        self.reduce = nn.Conv2d(widths[-1], widths[-1], (height, width), groups=widths[-1])
        self.mix = nn.Linear(widths[-1], widths[-1])
        self.score = nn.Linear(widths[-1], 1)
        self.label = _label_embedding(settings, widths[-1])
        self.scale = 1 / math.sqrt(widths[-1])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.stages[0](self.start(F.pad(x, self.padding, value=-1.0)))
        for transition, stage in zip(self.transitions, self.stages[1:], strict=True):
            h = stage(transition(F.avg_pool2d(h, 2)))
        h = self.mix(self.reduce(h).flatten(1))
        return self.score(h)[:, 0] + self.scale * (self.label(y) * h).sum(1)


def _halvings(settings: AdversarialSettings) -> int:
    """Return the number of halvings from the image to about 4 x 4 pixels."""
    return max(1, math.ceil(math.log2(max(settings.height, settings.width) / 4)))


def _widths(width: int, halvings: int) -> list[int]:
    """Return the channels of the stages, from the coarsest, with `width`, to the finest."""
    return [max(min(width, NARROWEST), width // 2**level) for level in range(halvings + 1)]


def _stages(widths: Sequence[int]) -> nn.ModuleList:
    num_blocks = BLOCKS * len(widths)
    return nn.ModuleList(
        nn.Sequential(*(ResidualBlock(width, num_blocks) for _ in range(BLOCKS)))
        for width in widths
    )


def _transitions(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(_init(nn.Conv2d(a, b, 1, bias=False)) for a, b in pairwise(widths))


def _init(layer: nn.Conv2d, gain: float = 1.0) -> nn.Conv2d:
    """Initialize the weights so that outputs have `gain` times the deviation of the inputs."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _label_embedding(settings: AdversarialSettings, size: int) -> nn.Embedding:
    embedding = nn.Embedding(settings.classes, size)
    nn.init.normal_(embedding.weight, std=settings.label_embedding_std)
    return embedding


def _binomial_filter() -> Tensor:
    """Return the 3 x 3 filter of the outer product of (1, 2, 1) / 4."""
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    return row[:, None] * row


def _smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter each channel of (B, C, H, W)."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)
