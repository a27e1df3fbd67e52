"""What the networks that a run learned with think of an image: is it of its label, is it real?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import pack
from models.images.adversarial import networks
from models.images.adversarial.settings import AdversarialSettings
from models.images.data import to_floats
from models.images.feature_extractor import Classifier, FeatureNetwork
from models.images.settings import ImageSettings
from models.images.vae_gan.networks import Critic
from models.images.weights import channels_last

Probabilities = NDArray[np.float64]


class SampleScorer:
    """A classifier that learned the labels and a critic, each if the run had one."""

    def __init__(
        self,
        classifier: Classifier | None,
        critic: nn.Module | None,
        calibration: Sequence[float] | None,
        batch_size: int,
    ) -> None:
        self._classifier = None if classifier is None else classifier.frozen_copy()
        self._critic, self._calibration, self._batch = critic, calibration, batch_size

    @classmethod
    def load(
        cls,
        settings: ImageSettings,
        classifier: Mapping[str, Tensor],
        critic: Mapping[str, Tensor],
        header: Mapping[str, Any],
        batch_size: int,
    ) -> Self:
        """Load from the parts written by `pack_sampler`."""
        of_labels = of_truth = None
        if classifier:
            of_labels = Classifier(settings, settings.classes)
            of_labels.load_state_dict(classifier)
        if critic:
            of_truth = channels_last(_critic(settings))
            of_truth.load_state_dict(critic)
            of_truth.eval().requires_grad_(False)
        return cls(of_labels, of_truth, header.get("calibration"), batch_size)

    @property
    def has_classifier(self) -> bool:
        return self._classifier is not None

    @property
    def has_critic(self) -> bool:
        return self._critic is not None

    def label_confidence(
        self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> Probabilities:
        """(N,) chances that the classifier gives each image's own label. Requires `has_classifier`."""
        assert self._classifier is not None  # noqa: S101 - said above
        classifier = self._classifier

        def one(x: Tensor, y: Tensor) -> Tensor:
            return classifier(x).double().softmax(1).gather(1, y[:, None])[:, 0]

        return self._each(one, pixels, labels)

    def realness(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Probabilities:
        """(N,) chances of being real rather than generated, where half of all images are: the
        critic's score, calibrated on images that training has not seen (Platt 1999). Requires
        `has_critic`."""
        assert self._critic is not None and self._calibration is not None  # noqa: S101, PT018 - said above
        critic, (slope, intercept) = self._critic, self._calibration

        def one(x: Tensor, y: Tensor) -> Tensor:
            return (slope * critic(x, y).double() + intercept).sigmoid()

        return self._each(one, pixels, labels)

    @torch.inference_mode()
    def _each(
        self,
        one: Callable[[Tensor, Tensor], Tensor],
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
    ) -> Probabilities:
        """In batches of one shape, so that a score does not depend on how many are asked for."""
        found = []
        for at in range(0, len(labels), self._batch):
            part = pixels[at : at + self._batch]
            x = np.zeros((self._batch, *part.shape[1:]), np.uint8)
            y = np.zeros(self._batch, np.int64)
            x[: len(part)], y[: len(part)] = part, labels[at : at + self._batch]
            found.append(one(to_floats(x), torch.from_numpy(y))[: len(part)])
        return torch.cat(found).numpy() if found else np.empty(0)


def pack_sampler(
    networks: Mapping[str, nn.Module],
    features: FeatureNetwork,
    critic: nn.Module,
    calibration: Sequence[float] | None,
    **header: Any,
) -> bytes:
    """What an ImageSampler is loaded from: what draws, and what a Scorer needs, if the run has it.
    Raises models.checkpoint.NonFiniteState."""
    parts = nn.ModuleDict(dict(networks))
    if features.frozen is not None and features.predicts_labels:
        parts["classifier"] = features.classifier
    if calibration is not None:
        parts["critic"] = critic
    return pack(parts.state_dict(), {"modality": "image", "calibration": calibration, **header})


def _critic(settings: ImageSettings) -> nn.Module:
    if isinstance(settings, AdversarialSettings):
        return networks.get_network_factory(settings.architecture).critic(settings)
    return Critic(settings)
