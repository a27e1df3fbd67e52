"""Image classifier for the evaluation metrics.

Its architecture deliberately differs from all networks that generate samples or train generators,
because those would be biased in favor of the samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.autocast import bf16_autocast
from models.images.feature_extractor import FLIPS, random_flip
from models.images.weights import adamw, channels_last, to_channels_last
from models.microbatch import apply_in_parts
from models.placement import CPU, upload
from models.training_callbacks import CheckStop

FEATURE_DIM = 128
MAX_FINAL_SIZE = 8  # maximum side of the last feature map, in pixels
MIN_STRIDED_SIZE = 40  # the first convolution halves images with a longer side, in pixels
LEARNING_RATE = 2e-3
BATCH_SIZE = 64
CHUNK_SIZE = 1_000

LoadBatch = Callable[[NDArray[np.int64]], tuple[Tensor, Tensor]]  # indices to images and labels


class Classifier(nn.Module):
    """Map of (B, C, H, W) images to (B, K) logits, by way of (B, FEATURE_DIM) features.

    3 x 3 convolutions with max-pooling (VGG, Simonyan & Zisserman 2014, 1409.1556), batch norm
    (Ioffe & Szegedy 2015, 1502.03167) and dropout (Hinton et al. 2012, 1207.0580).
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int) -> None:
        super().__init__()
        channels, *sides = shape
        stride = 2 if max(sides) > MIN_STRIDED_SIZE else 1
        layers = [*_convolution(channels, width, stride), _max_pool()]
        layers += [*_convolution(width, 2 * width), _max_pool()]
        layers += _convolution(2 * width, 2 * width)
        map_height, map_width = (-(-side // (4 * stride)) for side in sides)
        while max(map_height, map_width) > MAX_FINAL_SIZE:
            layers += [_max_pool(), *_convolution(2 * width, 2 * width)]
            map_height, map_width = -(-map_height // 2), -(-map_width // 2)
        self.body = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(2 * width * map_height * map_width, FEATURE_DIM),
            nn.ReLU(),
        )
        self.out = nn.Linear(FEATURE_DIM, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(to_channels_last(x)))

    @torch.inference_mode()
    def predict(self, images: Tensor, check_stop: CheckStop) -> tuple[Tensor, Tensor]:
        """Return (N, FEATURE_DIM) features and (N, K) logits of (N, C, H, W) images.

        Images and results are on the CPU; the network may be on another device.
        """
        device, features = self.out.weight.device, []
        for part in images.split(CHUNK_SIZE):
            check_stop()
            images_of_part = to_channels_last(upload(part, device))
            features.append(apply_in_parts(self.body, images_of_part, device=device))
        all_features = torch.cat(features)
        return all_features.cpu(), self.out(all_features).cpu()


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _max_pool() -> nn.Module:
    return nn.MaxPool2d(2, ceil_mode=True)


@dataclass(frozen=True)
class ClassifierSettings:
    """Size of a classifier and length of its training."""

    steps: int
    width: int = 16  # channels of the first layer
    max_shift: int = 0  # maximum random shift of training images, in pixels


def steps_for(epochs: int, count: int, bounds: tuple[int, int]) -> int:
    """Return the number of steps for `epochs` passes over `count` images, within bounds."""
    return int(np.clip(epochs * count // BATCH_SIZE, *bounds))


def train_classifier(
    load_batch: LoadBatch,
    count: int,
    shape: tuple[int, int, int],
    classes: int,
    settings: ClassifierSettings,
    *,
    seed: int,
    check_stop: CheckStop,
    device: torch.device = CPU,
) -> Classifier:
    """Train a classifier on `count` images of shape (C, H, W), and return it in evaluation mode.

    `load_batch` returns images on the CPU; the network is on `device`.

    With one class, the task is to classify how an image was flipped. The learning rate follows the
    one-cycle schedule (Smith 2018, 1803.09820).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = channels_last(Classifier(shape, classes if classes > 1 else FLIPS, settings.width))
    network = network.to(device)
    optimizer = adamw(network, LEARNING_RATE, 0.9, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=settings.steps, pct_start=0.2
    )
    order = np.empty(0, np.int64)
    for _ in range(settings.steps):
        check_stop()
        while len(order) < BATCH_SIZE:
            order = np.concatenate([order, rng.permutation(count)])
        index, order = np.sort(order[:BATCH_SIZE]), order[BATCH_SIZE:]
        x, y = load_batch(index)
        if settings.max_shift:
            x = _random_shift(x, settings.max_shift, rng)
        if classes == 1:
            x, y = random_flip(x)
        x, y = upload(x, device), upload(y, device)
        with bf16_autocast(device):
            logits = network(x)
        loss = F.cross_entropy(logits.float(), y, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _random_shift(x: Tensor, max_shift: int, rng: np.random.Generator) -> Tensor:
    """Shift each image randomly and independently. New pixels are black."""
    padded = F.pad(x, (max_shift,) * 4, value=-1.0)
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)
    down, across = torch.from_numpy(rng.integers(0, 2 * max_shift + 1, (2, len(x))))
    return windows[torch.arange(len(x)), :, down, across]
