"""What core.datasets.sandbox_main does for an imported model: everything that its weights will be used
for, once, where a hostile file can do no harm."""

from pathlib import Path
from typing import Any

import numpy as np

from models.images.sampling import ImageSampler
from models.load import load_sampler


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """What can be asked of the model in the file."""
    generator = load_sampler(Path(spec["path"]))
    if isinstance(generator, ImageSampler):
        return _images(generator)
    return _rows(generator)


def _images(generator: ImageSampler) -> dict[str, Any]:
    z = np.zeros((generator.batch_size, generator.noise_size), np.float32)
    made = generator.sample(z, np.full(generator.batch_size, generator.settings.classes - 1))
    height, width = made.shape[1:3]
    image = {"height": height, "width": width, "channels": 3 if made.ndim == 4 else 1}
    return {"modality": "image", "classes": generator.settings.classes, "image": image}


def _rows(generator: Any) -> dict[str, Any]:
    made = generator.sample(0, np.arange(4)).rows
    return {
        "modality": "tabular",
        "target_column": generator.tokenizer.target_column,
        "columns": {field.name: str(field.type) for field in made.schema},
    }
