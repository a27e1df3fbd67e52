"""Adaptive augmentation of the images that a critic sees, for datasets of few images.

Source: StyleGAN2-ADA, Karras et al. 2020, 2006.06676. Real and generated images are transformed at
random before the critic scores them, so that it cannot memorize the real ones. Each transform is
applied with probability p < 1. Such transforms do not leak: the generator still learns the
distribution of the untransformed images.

p follows the overfitting heuristic r, the mean sign of the critic's scores of real images: it rises
while r is above a target, and falls while r is below. A relativistic loss determines scores up to a
constant, so the sign here is that of the difference between a real image and its paired fake.

The transforms are gathers of pixels and elementwise operations: differentiable, deterministic on a
GPU, and without a decision that the host has to wait for.
"""

import math

import torch
from torch import Tensor

from models.images.data import LabeledImages
from models.images.mirror_symmetry import is_mirror_symmetric
from models.images.settings import ImageSettings

# Uniform numbers of an image: whether each transform is applied, and its magnitudes.
NUM_UNIFORMS = 14
MAX_SHIFT = 0.125  # fraction of each side, either way
MAX_SCALE = 0.3  # octaves, smaller or larger
MAX_ROTATION = math.radians(12.0)
MAX_BRIGHTNESS = 0.2  # of the range from -1 to 1, either way
MAX_CONTRAST = 0.5  # octaves
MAX_SATURATION = 1.0  # octaves

MAX_PROB = 0.85  # above, transforms start to leak (section 2.2 of the paper)
RAMP_IMAGES = 20_000  # real images for p to rise from 0 to 1
SIGN_SMOOTHING = 0.25  # weight of a step in the mean of r: about four steps, as in the paper


class AdaptiveAugmentation:
    """Random transforms of images, and their probability p."""

    saved = ("prob", "mean_sign")

    def __init__(self, data: LabeledImages, batch_size: int, target: float) -> None:
        self._target, self._increment = target, batch_size / RAMP_IMAGES
        self.flips = is_mirror_symmetric(data.pixels, data.labels, data.train)
        self.prob = torch.zeros((), device=data.device)
        self.mean_sign = torch.zeros((), device=data.device)
        # Signs of the current step. A step that is repeated, because memory ran out, overwrites
        # them.
        self._signs = torch.zeros(batch_size, device=data.device)

    def transform(self, images: Tensor, uniforms: Tensor) -> Tensor:
        """Transform (B, C, H, W) images with (B, NUM_UNIFORMS) numbers."""
        warped = _warp(images, _inverse_maps(images, uniforms, self.prob, flips=self.flips))
        return _change_colors(warped, uniforms, self.prob)

    def observe(self, start: int, real_scores: Tensor, fake_scores: Tensor) -> None:
        """Record the scores of a part of the batch that begins with item `start`."""
        signs = (real_scores - fake_scores).detach().sign()
        self._signs[start : start + len(signs)].copy_(signs)

    def update(self) -> None:
        """Adjust p after a step with scores."""
        self.mean_sign.lerp_(self._signs.mean(), SIGN_SMOOTHING)
        direction = (self.mean_sign - self._target).sign()
        self.prob.add_(direction * self._increment).clamp_(0.0, MAX_PROB)


def create_augmentation(
    settings: ImageSettings, data: LabeledImages
) -> AdaptiveAugmentation | None:
    if settings.augmentation_target == 0:
        return None
    return AdaptiveAugmentation(data, settings.batch_size, settings.augmentation_target)


def _inverse_maps(images: Tensor, uniforms: Tensor, prob: Tensor, *, flips: bool) -> Tensor:
    """Return (B, 2, 3) affine maps from centered target to source coordinates, (x, y) in pixels."""
    height, width = images.shape[2:]
    u, signed = uniforms.T, 2 * uniforms.T - 1
    shift = (u[0] < prob).float()
    shift_x = (shift * signed[1] * (MAX_SHIFT * width)).round()
    shift_y = (shift * signed[2] * (MAX_SHIFT * height)).round()
    scale = torch.exp2((u[3] < prob).float() * signed[4] * -MAX_SCALE)
    angle = (u[5] < prob).float() * signed[6] * MAX_ROTATION
    mirror = 1 - 2 * (u[7] < 0.5 * prob).float() if flips else torch.ones_like(scale)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [mirror * cos, mirror * sin, shift_x, -sin, cos, shift_y]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _warp(images: Tensor, maps: Tensor) -> Tensor:
    """Resample images bilinearly, with reflection at the edges."""
    batch, channels, height, width = images.shape
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    a = maps[:, :, :, None, None]
    source_x = a[:, 0, 0] * x + a[:, 0, 1] * y[:, None] + a[:, 0, 2] + (width - 1) / 2
    source_y = a[:, 1, 0] * x + a[:, 1, 1] * y[:, None] + a[:, 1, 2] + (height - 1) / 2
    left, top = source_x.floor(), source_y.floor()
    across, down = (source_x - left)[:, None], (source_y - top)[:, None]
    lefts = [_reflect(left.long() + i, width) for i in (0, 1)]
    tops = [width * _reflect(top.long() + i, height) for i in (0, 1)]
    flat = images.reshape(batch, channels, -1)

    def gather(row: int, column: int) -> Tensor:
        index = (tops[row] + lefts[column]).view(batch, 1, -1).expand(-1, channels, -1)
        return flat.gather(2, index).view_as(images)

    upper = torch.lerp(gather(0, 0), gather(0, 1), across)
    lower = torch.lerp(gather(1, 0), gather(1, 1), across)
    return torch.lerp(upper, lower, down)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Reflect indices at the first and the last pixel."""
    period = max(1, 2 * (size - 1))
    folded = index.remainder(period)
    return torch.minimum(folded, period - folded)


def _change_colors(images: Tensor, uniforms: Tensor, prob: Tensor) -> Tensor:
    """Change brightness, contrast and, of color images, saturation."""
    u, signed = (values.T[:, :, None, None, None] for values in (uniforms, 2 * uniforms - 1))
    brightness = (u[8] < prob) * signed[9] * MAX_BRIGHTNESS
    contrast = torch.exp2((u[10] < prob) * signed[11] * MAX_CONTRAST)
    changed = torch.addcmul(brightness, images, contrast)
    if images.shape[1] == 1:
        return changed
    saturation = torch.exp2((u[12] < prob) * signed[13] * MAX_SATURATION)
    return torch.lerp(changed.mean(1, keepdim=True), changed, saturation)
