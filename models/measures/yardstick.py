"""What samples of a set of images are measured with: the features of a classifier that learned the
real ones, kept with the set, so that all of its models are measured with the same one."""

from dataclasses import dataclass
from typing import ClassVar

from safetensors.torch import load, save
from torch import Tensor

from models.images.data import LabelledImages
from models.images.features import FLIPS
from models.images.weights import channels_last
from models.measures.classifier import Classifier, ClassifierSettings, learned, steps_for
from models.run import GoOn

WIDTH = 24
STEPS = (200, 1_200)
EPOCHS = 30


@dataclass(frozen=True)
class Yardstick:
    network: Classifier
    classes: int  # 1: it knows no labels
    version: ClassVar[int] = 2  # of the network and how it learns

    @classmethod
    def learn(
        cls, images: LabelledImages, classes: int, go_on: GoOn, *, seed: int = 0
    ) -> "Yardstick":
        x, _ = images.batch(images.train[:1])
        channels, height, width = x.shape[1:]
        count = len(images.train)
        settings = ClassifierSettings(
            steps_for(EPOCHS, count, STEPS),
            width=WIDTH,
            shift=1 if min(height, width) < 16 else 2,
        )
        network = learned(
            lambda index: images.batch(images.train[index]),
            count,
            (channels, height, width),
            classes,
            settings,
            seed=seed,
            go_on=go_on,
        )
        return cls(network, classes)

    def pack(self) -> bytes:
        tensors = {name: t.contiguous() for name, t in self.network.state_dict().items()}
        return save(tensors)

    @classmethod
    def unpack(cls, data: bytes, shape: tuple[int, int, int], classes: int) -> "Yardstick":
        network = Classifier(shape, classes if classes > 1 else FLIPS, WIDTH)
        network.load_state_dict(load(data))
        return cls(channels_last(network).eval(), classes)

    def look(self, images: Tensor, go_on: GoOn) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to (N, F) features and (N,) labels as it sees them."""
        features, logits = self.network.look(images, go_on)
        return features, logits.argmax(1)
