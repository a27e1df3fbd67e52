"""Scores of single images by the classifier and the critic of a training run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import weights_of
from models.images.adversarial import networks
from models.images.adversarial.settings import AdversarialSettings
from models.images.data import to_floats
from models.images.feature_extractor import Classifier
from models.images.settings import ImageSettings
from models.images.vae_gan.networks import Critic
from models.images.weights import channels_last
from models.placement import CPU, upload

Probabilities = NDArray[np.float64]


class SampleScorer:
    """Label confidence by the classifier and realness by the critic, each if the run has one."""

    def __init__(
        self,
        classifier: Classifier | None,
        critic: nn.Module | None,
        calibration: Sequence[float] | None,
        batch_size: int,
        device: torch.device = CPU,
    ) -> None:
        self._device = device
        self._classifier = None if classifier is None else classifier.frozen_copy()
        self._critic, self._calibration, self._batch_size = critic, calibration, batch_size

    @classmethod
    def load(
        cls,
        settings: ImageSettings,
        tensors: Mapping[str, Tensor],
        header: Mapping[str, Any],
        batch_size: int,
        device: torch.device = CPU,
    ) -> Self:
        """Load from the weights and the header of a model, on a device."""
        classifier_network = critic_network = None
        if weights := weights_of("classifier", tensors):
            classifier_network = Classifier(settings, settings.classes).to(device)
            classifier_network.load_state_dict(weights)
        if weights := weights_of("critic", tensors):
            critic_network = channels_last(_create_critic(settings)).to(device)
            critic_network.load_state_dict(weights)
            critic_network.eval().requires_grad_(False)
        calibration = header.get("calibration")
        return cls(classifier_network, critic_network, calibration, batch_size, device)

    @property
    def has_classifier(self) -> bool:
        return self._classifier is not None

    @property
    def has_critic(self) -> bool:
        return self._critic is not None

    def label_confidence(
        self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> Probabilities:
        """Return (N,) probabilities of each image's own label. Requires `has_classifier`."""
        assert self._classifier is not None  # noqa: S101 - see the docstring
        classifier = self._classifier

        def score_batch(x: Tensor, y: Tensor) -> Tensor:
            return classifier(x).double().softmax(1).gather(1, y[:, None])[:, 0]

        return self._score(score_batch, pixels, labels)

    def realness(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Probabilities:
        """Return (N,) probabilities of being real, where half of all images are real.

        They are the critic's scores, calibrated on held-out images (Platt 1999). Requires
        `has_critic`.
        """
        assert self._critic is not None and self._calibration is not None  # noqa: S101, PT018 - see the docstring
        critic, (slope, intercept) = self._critic, self._calibration

        def score_batch(x: Tensor, y: Tensor) -> Tensor:
            return (slope * critic(x, y).double() + intercept).sigmoid()

        return self._score(score_batch, pixels, labels)

    @torch.inference_mode()
    def _score(
        self,
        score_batch: Callable[[Tensor, Tensor], Tensor],
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
    ) -> Probabilities:
        """Score in batches of one shape: a score must not depend on the number of images."""
        size = self._batch_size
        scores = []
        for start in range(0, len(labels), size):
            part = pixels[start : start + size]
            x = np.zeros((size, *part.shape[1:]), np.uint8)
            y = np.zeros(size, np.int64)
            x[: len(part)], y[: len(part)] = part, labels[start : start + size]
            images = to_floats(upload(torch.from_numpy(x), self._device))
            own_labels = upload(torch.from_numpy(y), self._device)
            scores.append(score_batch(images, own_labels)[: len(part)])
        return torch.cat(scores).cpu().numpy() if scores else np.empty(0)


def _create_critic(settings: ImageSettings) -> nn.Module:
    if isinstance(settings, AdversarialSettings):
        return networks.get_network_factory(settings.architecture).critic(settings)
    return Critic(settings)
