"""What images are compared in: the layers of a small classifier, learnt from the images themselves
(perceptual features, Johnson et al. 2016, 1603.08155)."""

import copy
from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.images.settings import ImageSettings
from models.images.weights import adamw, channels_last, to_channels_last

HIDDEN_FEATURES = 128
FLIPS = 4  # tasks when there are no labels to learn


class Classifier(nn.Module):
    """(B, C, H, W) images to (B, K) logits, and on the way features at four depths."""

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
        first = self.first(to_channels_last(F.pad(x, self.padding, value=-1.0)))
        second = self.second(first)
        third = self.third(second)
        return first, second, third, F.relu(self.hidden(third.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.levels(x)[3])

    def encoder_features(self, x: Tensor) -> Tensor:
        """(B, N): what the encoder sees of an image, the second level."""
        return self.second(
            self.first(to_channels_last(F.pad(x, self.padding, value=-1.0)))
        ).flatten(1)

    def frozen_copy(self) -> Self:
        """A copy to look with: nothing learns any more, and the norms are part of the weights."""
        still = copy.deepcopy(self).eval().requires_grad_(False)
        for level in (still.first, still.second, still.third):
            convolution, norm, _ = list(level)[-3:]
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)  # noqa: S101, PT018
            level[-3] = fuse_conv_bn_eval(convolution, norm)
            del level[-2]
        return channels_last(still)


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def random_flip(images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) images, each flipped in one of FLIPS ways, and (B,) which: to learn from without
    labels (self-supervision as by rotations, Gidaris et al. 2018, 1803.07728, at any height and
    width)."""
    y = torch.randint(FLIPS, (len(images),))
    sideways = torch.where((y % 2 == 1)[:, None, None, None], images.flip(3), images)
    return torch.where((y >= 2)[:, None, None, None], sideways.flip(2), sideways), y


class FeatureNetwork:
    """Learns first, then stays as it is: `frozen` is None until then."""

    def __init__(self, settings: ImageSettings) -> None:
        self.settings = settings
        self.classifier = channels_last(
            Classifier(settings, settings.classes if settings.classes > 1 else FLIPS)
        )
        self.optimizer = adamw(self.classifier, settings.feature_lr, 0.9, weight_decay=1e-2)
        self.frozen: Classifier | None = None
        self.predicts_labels = settings.classes > 1  # those of this run

    def train_step(self, images: Tensor, y: Tensor, progress: float) -> Tensor:
        """One step, of the labels, or, without labels, of how an image was flipped. The rate goes
        up, then down to nothing (Smith 2018, 1803.09820)."""
        settings = self.settings
        done = progress / settings.feature_budget_fraction
        for group in self.optimizer.param_groups:
            group["lr"] = settings.feature_lr * max(0.0, min(done / 0.2, (1 - done) / 0.8, 1.0))
        if settings.classes == 1:
            images, y = random_flip(images)
        loss = F.cross_entropy(self.classifier(images), y, label_smoothing=0.05)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def freeze(self) -> None:
        self.frozen = self.classifier.frozen_copy()

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Those of another run, as they are: they know nothing of this run's labels."""
        body = {name: value for name, value in weights.items() if not name.startswith("out.")}
        self.classifier.load_state_dict(body, strict=False)
        self.predicts_labels = False
        self.freeze()

    def state(self) -> dict[str, bool]:
        return {"frozen": self.frozen is not None, "predicts_labels": self.predicts_labels}

    def restore(self, state: Mapping[str, bool]) -> None:
        """From what `state` said, once the weights are there."""
        self.predicts_labels = state["predicts_labels"]
        if state["frozen"]:
            self.freeze()

    def stateful(self) -> dict[str, Any]:
        return {"classifier": self.classifier, "opt_classifier": self.optimizer}
