"""Validation of an imported model in a sandbox process.

The weights are loaded and sampled from once, as the service does later, in a process where a
hostile file can do no harm.
"""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel


class Weights(BaseModel):
    path: Path


def validate(weights: Weights) -> dict[str, Any]:
    """Return the modality of the model in the file, and the shape or columns of its samples."""
    from models.images.sampling import ImageSampler  # torch is slow to import
    from models.load import load_sampler

    sampler = load_sampler(weights.path)
    if isinstance(sampler, ImageSampler):
        return _validate_images(sampler)
    return _validate_table(sampler)


def _validate_images(sampler: Any) -> dict[str, Any]:
    z = np.zeros((sampler.batch_size, sampler.noise_size), np.float32)
    pixels = sampler.sample(z, np.full(sampler.batch_size, sampler.settings.classes - 1))
    height, width = pixels.shape[1:3]
    image = {"height": height, "width": width, "channels": 3 if pixels.ndim == 4 else 1}
    return {"modality": "image", "classes": sampler.settings.classes, "image": image}


def _validate_table(sampler: Any) -> dict[str, Any]:
    rows = sampler.sample(0, np.arange(4)).rows
    return {
        "modality": "tabular",
        "target_column": sampler.tokenizer.target_column,
        "columns": {field.name: str(field.type) for field in rows.schema},
    }
