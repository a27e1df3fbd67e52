"""Files of image models: their networks, and the check of imported ones in a sandbox process.

The weights are loaded and sampled from once, as the service does later, in a process where a
hostile file can do no harm.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.datasets.sandbox import run_in_sandbox
from core.errors import ValidationFailed
from modalities.sampling import IMPORT_TIMEOUT_S, WeightsFile, check_finite


class ImageManifest(BaseModel):
    """Part of a model's manifest that only images have."""

    model_config = ConfigDict(extra="ignore", strict=True)

    image: dict[Literal["height", "width", "channels"], int]


def check_import(manifest: Mapping[str, Any], weights: Path) -> None:
    expected = ImageManifest.model_validate(manifest)
    actual = run_in_sandbox(
        "modalities.image.model_file:validate_weights", WeightsFile(path=weights), IMPORT_TIMEOUT_S
    )
    if expected.image != actual["image"]:
        raise ValidationFailed(
            "the weights generate images of a different size than the model manifest states."
        )
    if max(1, len(manifest["labels"])) != actual["classes"]:
        raise ValidationFailed(
            "the weights have a different number of labels than the model manifest."
        )


def validate_weights(weights: WeightsFile) -> dict[str, Any]:
    """Generate a batch; return the number of labels and the shape of the images.

    Raises:
        ValidationFailed: Weights are not finite.
    """
    from models.checkpoint import unpack  # torch is slow to load
    from models.images.sampling import ImageSampler

    tensors, header = unpack(weights.path)
    check_finite(tensors)
    sampler = ImageSampler.load(tensors, header)
    z = np.zeros((sampler.batch_size, sampler.noise_size), np.float32)
    pixels = sampler.sample(z, np.full(sampler.batch_size, sampler.settings.classes - 1))
    height, width = pixels.shape[1:3]
    image = {"height": height, "width": width, "channels": 3 if pixels.ndim == 4 else 1}
    return {"classes": sampler.settings.classes, "image": image}


def describe_networks(path: Path) -> list[Any]:
    from torch import nn  # slow to load

    from models.architecture import describe_networks
    from models.checkpoint import unpack
    from models.images.sampling import ImageSampler

    sampler = ImageSampler.load(*unpack(path))
    parts = {field.name: getattr(sampler, field.name) for field in fields(sampler)}
    networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    z = np.zeros((sampler.batch_size, sampler.noise_size), np.float32)
    labels = np.zeros(sampler.batch_size, np.int64)
    return describe_networks(networks, lambda: sampler.sample(z, labels))
