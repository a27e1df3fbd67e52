"""Encoder, generator and critic of `vae_gan` and `cvae`.

Shapes: B batch, Z latent, K classes, C channels, (H, W) image, (h, w) coarsest layer. Images are
floats in [-1, 1]. If a side is not divisible by a layer's stride, it is padded, and the generator's
output is cropped to the image size.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.images.settings import ImageSettings
from models.images.vae_gan.settings import VaeGanSettings
from models.images.weights import to_channels_last

LABEL_FEATURES = 32
CRITIC_FEATURES = 128
ENCODER_FEATURES = 256


class ConditionalNorm(nn.Module):
    """Batch norm with a scale and a shift per label (Dumoulin et al. 2017, 1610.07629).

    Computes norm(x) * (1 + scale_y) + shift_y; scale and shift start at 0.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Embedding(classes, 2 * channels)
        nn.init.zeros_(self.affine.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        scale, shift = self.affine(y)[:, :, None, None].chunk(2, 1)
        normed = self.norm(x)
        return torch.addcmul(normed + shift, normed, scale)


class Generator(nn.Module):
    """Map of (B, Z) latents and (B,) labels to (B, C, H, W) images.

    Nearly all of the work is done at the coarsest layer. Upsampling is a 1 x 1 convolution and a
    pixel shuffle (Shi et al. 2016, 1609.05158), which takes a third of the time of a transposed
    convolution. The output is clipped to [-1, 1] instead of squashed by tanh, because most images
    have pixels of exactly -1 or 1.
    """

    def __init__(self, settings: VaeGanSettings) -> None:
        super().__init__()
        self.base, self.size = settings.base, (settings.height, settings.width)
        classes = settings.classes
        widths = [
            min(settings.coarse_channels, settings.fine_channels * 2**level)
            for level in range(settings.halvings - 2, -1, -1)
        ]
        coarse = settings.coarse_channels
        h, w = self.base
        self.label = nn.Embedding(classes, LABEL_FEATURES)
        self.start = nn.Linear(settings.latent_dim + LABEL_FEATURES, coarse * h * w)
        self.start_norm = ConditionalNorm(coarse, classes)
        self.blocks = nn.ModuleList(
            nn.Conv2d(coarse, coarse, 3, padding=1, bias=False)
            for _ in range(settings.residual_blocks)
        )
        self.block_norms = nn.ModuleList(
            ConditionalNorm(coarse, classes) for _ in range(settings.residual_blocks)
        )
        self.ups = nn.ModuleList(
            nn.Conv2d(a, 4 * b, 1, bias=False) for a, b in pairwise([coarse, *widths])
        )
        self.up_norms = nn.ModuleList(ConditionalNorm(b, classes) for b in widths)
        self.end = nn.Conv2d(widths[-1], 4 * settings.channels, 3, padding=1)
        with torch.no_grad():
            self.end.weight.mul_(0.3)  # otherwise much of the first images is clipped

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        (h, w), (height, width) = self.base, self.size
        label = self.label(y)
        label = label * (label.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        x = self.start(torch.cat([z, label], 1)).view(len(z), h, w, -1).permute(0, 3, 1, 2)
        x = F.relu(self.start_norm(x, y))
        for block, norm in zip(self.blocks, self.block_norms, strict=True):
            x = x + F.relu(norm(block(x), y))
        for up, norm in zip(self.ups, self.up_norms, strict=True):
            x = F.relu(norm(to_channels_last(F.pixel_shuffle(up(x), 2)), y))
        x = F.pixel_shuffle(self.end(x), 2)[:, :, :height, :width]
        return F.hardtanh(x.float())


class Critic(nn.Module):
    """Map of (B, C, H, W) images and (B,) labels to (B,) scores; higher is more real.

    The score is w . h + 4 e_y . h / sqrt(N), for N features h and the label's embedding e_y (a
    projection, Miyato & Koyama 2018, 1802.05637). There is no normalization: the gradient penalty
    is per image, so the score of an image must not depend on the rest of the batch.
    """

    def __init__(self, settings: ImageSettings) -> None:
        super().__init__()
        height, width = -(-settings.height // 4), -(-settings.width // 4)
        self.padding = (0, 4 * width - settings.width, 0, 4 * height - settings.height)
        channels = settings.critic_width
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(4),
            nn.Conv2d(16 * settings.channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        while True:
            wider = channels * 3 // 2
            layers += [nn.Conv2d(channels, wider, 3, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
            channels, height, width = wider, -(-height // 2), -(-width // 2)
            if max(height, width) <= 4:
                break
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Linear(channels * height * width, CRITIC_FEATURES)
        # A bias would cancel in the relativistic loss.
        self.score = nn.Linear(CRITIC_FEATURES, 1, bias=False)
        self.label = nn.Embedding(settings.classes, CRITIC_FEATURES)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.layers(to_channels_last(F.pad(x, self.padding, value=-1.0)))
        h = F.leaky_relu(self.hidden(h), 0.2).float()
        matched = (self.label(y) * h).sum(1) * (4 / math.sqrt(CRITIC_FEATURES))
        # Not a matrix product, which may run in bfloat16: score differences need full precision.
        return (self.score.weight * h).sum(1) + matched


class Encoder(nn.Module):
    """Map of (B, N) image features and (B,) labels to the latent's mean and log-variance (B, Z)."""

    def __init__(self, settings: ImageSettings, features: int) -> None:
        super().__init__()
        self.label = nn.Embedding(settings.classes, LABEL_FEATURES)
        self.hidden = nn.Linear(features + LABEL_FEATURES, ENCODER_FEATURES)
        self.moments = nn.Linear(ENCODER_FEATURES, 2 * settings.latent_dim)

    def forward(self, features: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        h = F.leaky_relu(self.hidden(torch.cat([features, self.label(y)], 1)), 0.2)
        mean, log_variance = self.moments(h).float().chunk(2, 1)
        return mean, log_variance.clamp(-8, 2)
