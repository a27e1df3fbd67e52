"""What samples of a set of images are measured with: the features of a classifier that learned the
real ones, kept with the set, so that all of its models are measured with the same one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from models.images.architectures import resolve
from models.images.data import LabelledImages
from models.images.features import Classifier, FeatureNetwork
from models.images.settings import ImageData, ImageSettings
from models.precision import mixed

WIDTH = 32  # of its first layer
FRESH = 16  # of those that learn from samples, or to tell them apart
BATCH = (32, 128)  # smaller for small sets
STEPS = (200, 1_500)
EPOCHS = 30

GoOn = Callable[[], None]  # raises what the work is to end with


def settings_of(
    shape: tuple[int, int, int], classes: int, count: int, width: int = FRESH
) -> ImageSettings:
    """`shape`: (C, H, W)."""
    data = ImageData(shape[1], shape[2], shape[0], classes, images=count)
    found = resolve(data, "fast", {"feature_width": width})
    return replace(found, features_until=0.5, feature_rate=2e-3)


def batch_of(count: int) -> int:
    return int(np.clip(count // 8, *BATCH))


def learned(
    batch: Callable[[NDArray[np.int64]], tuple[Tensor, Tensor]],
    count: int,
    settings: ImageSettings,
    *,
    steps: int,
    seed: int,
    go_on: GoOn,
    shift: int = 0,
) -> FeatureNetwork:
    """A classifier of `count` images, which `batch` gives by place."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = FeatureNetwork(settings)
    network.classifier.train()
    order, size = np.empty(0, np.int64), batch_of(count)
    for step in range(steps):
        go_on()
        while len(order) < size:
            order = np.concatenate([order, rng.permutation(count)])
        index, order = np.sort(order[:size]), order[size:]
        x, y = batch(index)
        if shift:
            top, side = rng.integers(0, 2 * shift + 1, 2)
            padded = F.pad(x, (shift,) * 4, value=-1)
            x = padded[:, :, top : top + x.shape[2], side : side + x.shape[3]]
        with mixed():
            network.learn(x, y, settings.features_until * step / steps)
    network.settle()
    return network


@dataclass(frozen=True)
class Yardstick:
    network: Classifier
    classes: int  # 1: it knows no labels

    @classmethod
    def learn(cls, images: LabelledImages, classes: int, go_on: GoOn) -> "Yardstick":
        x, _ = images.batch(images.train[:1])
        channels, height, width = x.shape[1:]
        count = len(images.train)
        network = learned(
            lambda index: images.batch(images.train[index]),
            count,
            settings_of((channels, height, width), classes, count, WIDTH),
            steps=int(np.clip(EPOCHS * count // batch_of(count), *STEPS)),
            seed=0,
            go_on=go_on,
            shift=1 if min(height, width) < 16 else 2,
        )
        return cls(network.classifier.eval(), classes)

    def pack(self) -> bytes:
        tensors = {name: t.contiguous() for name, t in self.network.state_dict().items()}
        return save(tensors)

    @classmethod
    def unpack(cls, data: bytes, shape: tuple[int, int, int], classes: int) -> "Yardstick":
        network = FeatureNetwork(settings_of(shape, classes, 2, WIDTH)).classifier
        network.load_state_dict(load(data))
        return cls(network.eval(), classes)

    @torch.inference_mode()
    def look(self, images: Tensor, go_on: GoOn) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to (N, F) features and (N,) labels as it sees them."""
        features, said = [], []
        for part in images.split(1_000):
            go_on()
            found = self.network.levels(part)[3]
            features.append(found)
            said.append(self.network.out(found).argmax(1))
        return torch.cat(features), torch.cat(said)
