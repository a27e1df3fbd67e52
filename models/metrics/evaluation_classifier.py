"""Classifier whose features the image metrics use.

It is trained on the real images of a dataset and stored with the dataset, so that all models of the
dataset are measured with the same features.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from safetensors.torch import load, save
from torch import Tensor

from models.images.data import LabeledImages
from models.images.feature_extractor import FLIPS
from models.images.weights import channels_last
from models.metrics.classifier import Classifier, ClassifierSettings, steps_for, train_classifier
from models.placement import CPU
from models.training_callbacks import CheckStop

WIDTH = 24
STEPS = (200, 1_200)
EPOCHS = 30


@dataclass(frozen=True)
class EvaluationClassifier:
    network: Classifier
    classes: int  # 1: there are no labels, and the network classifies flips
    version: ClassVar[int] = 2  # of the architecture and the training

    @classmethod
    def fit(
        cls,
        images: LabeledImages,
        classes: int,
        check_stop: CheckStop,
        *,
        seed: int = 0,
        device: torch.device = CPU,
    ) -> "EvaluationClassifier":
        x, _ = images.batch(images.train[:1])
        channels, height, width = x.shape[1:]
        count = len(images.train)
        settings = ClassifierSettings(
            steps_for(EPOCHS, count, STEPS),
            width=WIDTH,
            max_shift=1 if min(height, width) < 16 else 2,
        )
        network = train_classifier(
            lambda index: images.batch(images.train[index]),
            count,
            (channels, height, width),
            classes,
            settings,
            seed=seed,
            check_stop=check_stop,
            device=device,
        )
        return cls(network, classes)

    def pack(self) -> bytes:
        tensors = {name: t.cpu().contiguous() for name, t in self.network.state_dict().items()}
        return save(tensors)

    @classmethod
    def unpack(
        cls,
        data: bytes,
        shape: tuple[int, int, int],
        classes: int,
        device: torch.device = CPU,
    ) -> "EvaluationClassifier":
        network = Classifier(shape, classes if classes > 1 else FLIPS, WIDTH)
        network.load_state_dict(load(data))
        return cls(channels_last(network).to(device).eval(), classes)

    def predict(self, images: Tensor, check_stop: CheckStop) -> tuple[Tensor, Tensor]:
        """Return (N, F) features and (N,) predicted labels of (N, C, H, W) images."""
        features, logits = self.network.predict(images, check_stop)
        return features, logits.argmax(1)
