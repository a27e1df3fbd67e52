"""Items of an augmented dataset, in order, with their provenance."""

import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, TextIO

from core.augmentation import AugmentationSpec
from modalities.augmentation import AugmentationInput, Augmenter

PROVENANCE_FILE = "provenance.ndjson"


def write_dataset(job: AugmentationInput, augmenter: Augmenter, out: Path) -> dict[str, Any]:
    """Write the files of the new dataset into the folder `out` and return its summary."""
    with (out / PROVENANCE_FILE).open("w", encoding="utf-8") as file:
        return augmenter.write(_chunks(job, augmenter, ProvenanceWriter(file, job.spec)), out)


def _chunks(
    job: AugmentationInput, augmenter: Augmenter, provenance: "ProvenanceWriter"
) -> Iterator[tuple[int, Any]]:
    """Yield the items label by label in chunks, and write their provenance."""
    for label in range(len(job.spec.labels)):
        for items, source, origins in _chunks_of_label(job, augmenter, label):
            for origin in origins:
                provenance.write(label, source, origin)
            yield label, items


def _chunks_of_label(
    job: AugmentationInput, augmenter: Augmenter, label: int
) -> Iterator[tuple[Any, str, list[dict[str, Any]]]]:
    """Yield chunks of items with their source, and the provenance of each item."""
    plan, indices = job.spec.labels[label], job.indices_of(label)
    if job.spec.include_real:
        real = iter(indices.tolist())
        for items in augmenter.real(indices):
            yield items, "real", [{"real": index} for index in islice(real, len(items))]
    if plan.transforms:
        numbers = count()
        for items, origins in augmenter.transform(label, plan.transforms):
            yield items, "transforms", [{"index": next(numbers), **origin} for origin in origins]
    if plan.model:
        numbers, seed = count(), job.spec.seed
        for items in augmenter.sample(label, plan.model):
            indices_of_chunk = islice(numbers, len(items))
            yield (
                items,
                "model",
                [{"model": job.spec.model, "seed": seed, "index": n} for n in indices_of_chunk],
            )


class ProvenanceWriter:
    """Writer of provenance.ndjson: one JSON line per item, in dataset order."""

    def __init__(self, file: TextIO, spec: AugmentationSpec) -> None:
        self._file, self._names, self._item = file, [label.name for label in spec.labels], 0

    def write(self, label: int, source: str, origin: dict[str, Any]) -> None:
        item = {"item": self._item, "label": self._names[label], "source": source}
        self._file.write(json.dumps(item | {"provenance": origin}, ensure_ascii=False) + "\n")
        self._item += 1
