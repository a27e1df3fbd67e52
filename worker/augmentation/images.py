"""More images: changed ones of each label, and samples of a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.images.decoded_dataset import DecodedDataset
from core.datasets.images.npy_store import ImageStore
from core.datasets.images.reading import finalize
from core.datasets.ingestion import image_summary
from core.settings import get_settings
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
MAX_HOLDOUT_IMAGES = 3_000  # held-out images, in a trial

Pixels = NDArray[np.uint8]


class ImageAugmenter:
    def __init__(
        self, context: AugmentationContext, pixels: Pixels, labels: NDArray[np.int32]
    ) -> None:
        """All of the dataset, its test part behind the rest."""
        self._context, self._pixels, self._labels = context, pixels, labels
        generator = context.load_sampler()
        assert generator is None or isinstance(generator, ImageSampler)  # noqa: S101 - as planned
        self._sampler = generator

    def write(self, out: Path) -> dict[str, Any]:
        spec, summary = self._context.spec, self._context.dataset.summary
        found: list[int] = []
        with (
            (out / "provenance.ndjson").open("w", encoding="utf-8") as file,
            ImageStore(out) as store,
        ):
            recipes = ProvenanceWriter(file, spec)
            for pixels, label in self._items(recipes):
                store.append(pixels, is_test=False)
                found += [label] * len(pixels)
        gathered = DecodedDataset(
            format="augmentation",
            class_names=[label["name"] for label in summary["labels"]],
            y=np.array(found, np.int32),
            n_train=store.n_train,
            size=store.size,
            channels=store.channels,
            name_of=lambda place: f"item {place}",
            notes=[],
            issues=[],
        )
        self._context.check_stop()
        return image_summary(finalize(gathered, get_settings().limits, out), out)

    def _items(self, provenance: ProvenanceWriter) -> Iterator[tuple[Pixels, int]]:
        """Some of one label at a time."""
        for label, plan in enumerate(self._context.spec.labels):
            places = self._context.source_indices(label)
            for at in index_chunks(plan.real if self._context.spec.include_real else 0, CHUNK_SIZE):
                for place in places[at]:
                    provenance.real(label, int(place))
                yield np.asarray(self._pixels[places[at]]), label
            for at, made in self._transformed(label, plan.transforms):
                for number, one in zip(at, made, strict=True):
                    real = int(places[one.source_index])
                    provenance.transforms(label, int(number), real=real, transforms=one.steps)
                yield np.stack([one.pixels for one in made]), label
            for at, pixels in self._samples(label, plan.model):
                for number in at:
                    provenance.model(label, int(number))
                yield pixels, label

    def _transformed(
        self, label: int, count: int
    ) -> Iterator[tuple[NDArray[np.int64], list[TransformedImage]]]:
        spec = self._context.spec
        transforms = [Transform(**fields) for fields in spec.transforms]
        real = np.asarray(self._pixels[self._context.source_indices(label)])
        for at in index_chunks(count, CHUNK_SIZE):
            self._context.check_stop()
            yield (
                at,
                list(transform_images(real, transforms, seed=spec.seed, label=label, indices=at)),
            )

    def _samples(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        if not count:
            return
        assert self._sampler is not None  # noqa: S101 - as planned
        spec = self._context.spec
        place = self._context.model_label_codes()[spec.labels[label].name]
        for at in index_chunks(count, self._sampler.batch_size):
            self._context.check_stop()
            labels = np.full(len(at), place, np.int64)
            yield at, batched_sampling.generate_batch(self._sampler, spec.seed, labels, at)

    def lift_experiment(self) -> LiftExperiment:
        ground = self._context
        pool = ground.pool(min_real_items=1)
        parts = [np.asarray(self._pixels[ground.train])]
        for label, count in enumerate(pool.transform_counts):
            changed = self._transformed(label, count)
            parts += [np.stack([one.pixels for one in made]) for _, made in changed]
        for label, count in enumerate(pool.model_counts):
            parts += [pixels for _, pixels in self._samples(label, count)]
        apart = self._holdout()
        parts.append(np.asarray(self._pixels[apart]))
        truth = self._labels[apart]
        n = len(pool.labels)
        data = LabeledImages(
            np.concatenate(parts),
            np.concatenate([pool.labels, truth]).astype(np.int32),
            np.arange(n),
            np.arange(n, n + len(apart)),
        )
        learn = classifiers.build_image_trainer(
            data, len(ground.spec.labels), pool.max_size, ground.check_stop
        )
        return LiftExperiment(pool, learn, truth.astype(np.int64))

    def _holdout(self) -> NDArray[np.int64]:
        """The published test part, or else what is kept apart."""
        n = self._context.dataset.summary["n_train"]
        apart = self._context.holdout
        if n < len(self._labels):
            apart = n + np.flatnonzero(self._labels[n:] >= 0)
        some = np.random.default_rng(self._context.spec.seed).permutation(apart)[
            :MAX_HOLDOUT_IMAGES
        ]
        return np.sort(some)
