"""Perceptual features: the layers of a small classifier, trained on the images themselves.

Source: Johnson et al. 2016, 1603.08155.
"""

import copy
from collections.abc import Hashable, Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.images.data import ImageBatches
from models.images.settings import ImageSettings
from models.images.weights import adamw, channels_last
from models.microbatch import Batch, Part, Position
from models.placement import CPU, upload
from models.training_loop import Batches

HIDDEN_FEATURES = 128
FLIPS = 4  # ways to flip an image; these are the classes of a dataset without labels


class Classifier(nn.Module):
    """Classifier of (B, C, H, W) images: (B, K) logits, and features at four depths."""

    def __init__(self, settings: ImageSettings, classes: int) -> None:
        super().__init__()
        self.padding = (0, settings.width % 2, 0, settings.height % 2)
        width = settings.feature_width
        height_2, width_2 = -(-settings.height // 2), -(-settings.width // 2)
        h, w = -(-height_2 // 2), -(-width_2 // 2)
        stride = 2 if max(h, w) > 10 else 1
        self.first = nn.Sequential(
            nn.PixelUnshuffle(2), *_convolution(4 * settings.channels, width, 1)
        )
        self.second = nn.Sequential(*_convolution(width, 2 * width, 2))
        self.third = nn.Sequential(*_convolution(2 * width, 2 * width, stride))
        self.second_size = 2 * width * h * w
        self.hidden = nn.Linear(2 * width * -(-h // stride) * -(-w // stride), HIDDEN_FEATURES)
        self.out = nn.Linear(HIDDEN_FEATURES, classes)

    def levels(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return three feature maps (B, C, H, W) and the hidden layer (B, HIDDEN_FEATURES)."""
        padded = F.pad(x, self.padding, value=-1.0)
        first = self.first(padded.contiguous(memory_format=torch.channels_last))
        second = self.second(first)
        third = self.third(second)
        return first, second, third, F.relu(self.hidden(third.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.levels(x)[3])

    def encoder_features(self, x: Tensor) -> Tensor:
        """Return the second level as (B, N), the input of the VAE-GAN's encoder."""
        padded = F.pad(x, self.padding, value=-1.0)
        first = self.first(padded.contiguous(memory_format=torch.channels_last))
        return self.second(first).flatten(1)

    def frozen_copy(self) -> Self:
        """Return a copy for inference, with batch norms fused into the convolutions."""
        frozen = copy.deepcopy(self).eval().requires_grad_(False)
        for level in (frozen.first, frozen.second, frozen.third):
            convolution, norm, _ = list(level)[-3:]
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)  # noqa: S101, PT018
            level[-3] = fuse_conv_bn_eval(convolution, norm)
            del level[-2]
        return channels_last(frozen)


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def random_flip(images: Tensor) -> tuple[Tensor, Tensor]:
    """Flip each of (B, C, H, W) images at random; return them and the (B,) numbers of the flips.

    This is the self-supervised task for images without labels. It follows the rotations of Gidaris
    et al. 2018, 1803.07728, but also works for images that are not square.
    """
    y = upload(torch.randint(FLIPS, (len(images),)), images.device)
    mirrored = torch.where((y % 2 == 1)[:, None, None, None], images.flip(3), images)
    return torch.where((y >= 2)[:, None, None, None], mirrored.flip(2), mirrored), y


class FlippedBatches:
    """Batches of randomly flipped images, with the flips as labels."""

    def __init__(self, batches: ImageBatches) -> None:
        self._batches = batches

    def batch_at(self, step: int) -> Batch:
        return random_flip(self._batches.batch_at(step)[0])


class FeatureNetwork:
    """Classifier that is trained in the first phase of a run, then frozen.

    `frozen` is None until then.
    """

    saved = ("classifier", "optimizer", "microbatch_size", "is_frozen", "predicts_labels")

    def __init__(
        self, settings: ImageSettings, batches: ImageBatches, device: torch.device = CPU
    ) -> None:
        self.settings = settings
        self.batches: Batches = batches if settings.classes > 1 else FlippedBatches(batches)
        self.microbatch_size: int | None = batches.size
        self.classifier = channels_last(
            Classifier(settings, settings.classes if settings.classes > 1 else FLIPS)
        ).to(device)
        self.optimizer = adamw(self.classifier, settings.feature_lr, 0.9, weight_decay=1e-2)
        self.optimizers = (self.optimizer,)
        self.frozen: Classifier | None = None
        self.is_frozen = False
        self.predicts_labels = False  # True once it has learned the labels of this run

    def begin_step(self, position: Position) -> Hashable:  # noqa: ARG002 - see Phase
        """Return the only kind of steps."""
        return "features"

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Learn to predict the labels or, without labels, the flips (see Phase)."""
        images, y = part.batch
        loss = F.cross_entropy(self.classifier(images), y, label_smoothing=0.05)
        part.backward(loss)
        return {"feature_loss": loss.detach()}

    def apply_gradients(self, position: Position) -> None:
        """Take an optimizer step.

        The learning rate rises for a fifth of the phase and then falls to 0 (one cycle, Smith 2018,
        1803.09820).
        """
        phase = position.progress / self.settings.feature_budget_fraction
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.feature_lr * max(
                0.0, min(phase / 0.2, (1 - phase) / 0.8, 1.0)
            )
        self.optimizer.step()
        self.predicts_labels = self.settings.classes > 1

    def update_average(self, step: int) -> None:
        """Do nothing: the classifier has no averaged weights."""

    def freeze(self) -> None:
        self.frozen, self.is_frozen = self.classifier.frozen_copy(), True

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Load and freeze the weights of another run, without its output layer.

        They cannot predict the labels of this run, which may differ.
        """
        body = {name: value for name, value in weights.items() if not name.startswith("out.")}
        self.classifier.load_state_dict(body, strict=False)
        self.freeze()
