"""Augmentation of an image dataset by transformed images and samples of a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.settings import get_settings
from modalities.image.ingest import summarize
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.npy_store import ImageStore
from modalities.image.upload.reading import finalize
from models.augmentation import classifiers
from models.augmentation.transforms import Transform, TransformedImage, transform_images
from models.images import batched_sampling
from models.images.data import LabeledImages
from models.images.sampling import ImageSampler
from worker.augmentation.context import (
    AugmentationContext,
    LiftExperiment,
    ProvenanceWriter,
    index_chunks,
)

CHUNK_SIZE = 256
MAX_HOLDOUT_IMAGES = 3_000  # that the lift experiment classifies

Pixels = NDArray[np.uint8]


class ImageAugmenter:
    def __init__(
        self, context: AugmentationContext, pixels: Pixels, labels: NDArray[np.int32]
    ) -> None:
        """Take the pixels (N, …) and labels (N,) of the whole dataset, the test split last."""
        self._context, self._pixels, self._labels = context, pixels, labels
        sampler = context.load_sampler()
        assert sampler is None or isinstance(sampler, ImageSampler)  # noqa: S101 - planning checks it
        self._sampler = sampler

    def write(self, out: Path) -> dict[str, Any]:
        spec, summary = self._context.spec, self._context.dataset.summary
        item_labels: list[int] = []
        with (
            (out / "provenance.ndjson").open("w", encoding="utf-8") as file,
            ImageStore(out) as store,
        ):
            provenance = ProvenanceWriter(file, spec)
            for pixels, label in self._items(provenance):
                store.append(pixels, is_test=False)
                item_labels += [label] * len(pixels)
        decoded = DecodedDataset(
            format="augmentation",
            class_names=[label["name"] for label in summary["labels"]],
            y=np.array(item_labels, np.int32),
            n_train=store.n_train,
            size=store.size,
            channels=store.channels,
            name_of=lambda index: f"item {index}",
            notes=[],
            issues=[],
        )
        self._context.check_stop()
        return summarize(finalize(decoded, get_settings().limits, out), out)

    def _items(self, provenance: ProvenanceWriter) -> Iterator[tuple[Pixels, int]]:
        """Yield the new dataset's items in chunks of one label, and write their provenance."""
        for label, plan in enumerate(self._context.spec.labels):
            sources = self._context.source_indices(label)
            real_count = plan.real if self._context.spec.include_real else 0
            for chunk in index_chunks(real_count, CHUNK_SIZE):
                for index in sources[chunk]:
                    provenance.real(label, int(index))
                yield np.asarray(self._pixels[sources[chunk]]), label
            for indices, transformed in self._transformed(label, plan.transforms):
                for index, image in zip(indices, transformed, strict=True):
                    real = int(sources[image.source_index])
                    provenance.transforms(label, int(index), real=real, transforms=image.steps)
                yield np.stack([image.pixels for image in transformed]), label
            for indices, pixels in self._samples(label, plan.model):
                for index in indices:
                    provenance.model(label, int(index))
                yield pixels, label

    def _transformed(
        self, label: int, count: int
    ) -> Iterator[tuple[NDArray[np.int64], list[TransformedImage]]]:
        spec = self._context.spec
        transforms = [Transform(**fields) for fields in spec.transforms]
        real = np.asarray(self._pixels[self._context.source_indices(label)])
        for indices in index_chunks(count, CHUNK_SIZE):
            self._context.check_stop()
            images = transform_images(
                real, transforms, seed=spec.seed, label=label, indices=indices
            )
            yield indices, list(images)

    def _samples(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        if not count:
            return
        assert self._sampler is not None  # noqa: S101 - planning checks it
        spec = self._context.spec
        model_label = self._context.model_label_codes()[spec.labels[label].name]
        for indices in index_chunks(count, self._sampler.batch_size):
            self._context.check_stop()
            labels = np.full(len(indices), model_label, np.int64)
            pixels = batched_sampling.generate_batch(self._sampler, spec.seed, labels, indices)
            yield indices, pixels

    def lift_experiment(self) -> LiftExperiment:
        context = self._context
        pool = context.pool(min_real_items=1)
        # In the order of `pool.labels`: real, then transformed, then sampled, then the holdout.
        parts = [np.asarray(self._pixels[context.train])]
        for label, count in enumerate(pool.transform_counts):
            for _, transformed in self._transformed(label, count):
                parts.append(np.stack([image.pixels for image in transformed]))
        for label, count in enumerate(pool.model_counts):
            parts += [pixels for _, pixels in self._samples(label, count)]
        holdout = self._holdout()
        parts.append(np.asarray(self._pixels[holdout]))
        true_labels = self._labels[holdout]
        n = len(pool.labels)
        data = LabeledImages(
            np.concatenate(parts),
            np.concatenate([pool.labels, true_labels]).astype(np.int32),
            np.arange(n),
            np.arange(n, n + len(holdout)),
        )
        train_classifier = classifiers.build_image_trainer(
            data, len(context.spec.labels), pool.max_size, context.check_stop
        )
        return LiftExperiment(pool, train_classifier, true_labels.astype(np.int64))

    def _holdout(self) -> NDArray[np.int64]:
        """Return indices of the published test split or, without one, of the holdout."""
        n = self._context.dataset.summary["n_train"]
        holdout = self._context.holdout
        if n < len(self._labels):
            holdout = n + np.flatnonzero(self._labels[n:] >= 0)
        shuffled = np.random.default_rng(self._context.spec.seed).permutation(holdout)
        return np.sort(shuffled[:MAX_HOLDOUT_IMAGES])
