"""Augmentation of an image dataset by transformed images and samples of a model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.settings import get_settings
from core.storage import StoredObject
from modalities import stored_samplers
from modalities.augmentation import AugmentationInput, Json
from modalities.image.ingest import summarize
from modalities.image.upload.arrays.npy_store import ImageStore
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.finalize import finalize
from models.augmentation import classifiers
from models.augmentation.lift import TrainClassifier
from models.augmentation.training_sets import TrainingPool
from models.augmentation.transform_ranges import Transform
from models.augmentation.transforms import transform_images
from models.checkpoint import unpack
from models.images import batched_sampling
from models.images.data import LabeledImages
from models.images.sampling import ImageSampler

CHUNK_SIZE = 256
MAX_HOLDOUT_IMAGES = 3_000  # that the lift experiment classifies

Pixels = NDArray[np.uint8]


@contextmanager
def open_augmenter(job: AugmentationInput) -> Iterator["ImageAugmenter"]:
    x, y = (StoredObject.from_dict(job.dataset.objects[name]) for name in ("x", "y"))
    with job.storage.open(x) as pixels, job.storage.open(y) as labels:
        yield ImageAugmenter(
            job,
            np.load(pixels, mmap_mode="r", allow_pickle=False),
            np.load(labels, allow_pickle=False),
        )


class ImageAugmenter:
    """Implementation of modalities.augmentation.Augmenter; its chunks are pixels (N, …)."""

    def __init__(self, job: AugmentationInput, pixels: Pixels, labels: NDArray[np.int32]) -> None:
        """Take the pixels (N, …) and labels (N,) of the whole dataset, the test split last."""
        self._job, self._pixels, self._labels = job, pixels, labels
        self._device = torch.device(job.device)
        self._transforms = [Transform(**fields) for fields in job.spec.transforms]
        self._sampler: ImageSampler | None = None
        self._model_labels: dict[str, int] = {}
        if job.model is not None:
            self._sampler = stored_samplers.load(
                job.model, job.storage, lambda path: ImageSampler.load(*unpack(path), self._device)
            )
            names = [label["name"] for label in job.model.manifest["labels"]]
            self._model_labels = {name: index for index, name in enumerate(names)}

    def real(self, indices: NDArray[np.int64]) -> Iterator[Pixels]:
        for chunk in _index_chunks(len(indices), CHUNK_SIZE):
            yield np.asarray(self._pixels[indices[chunk]])

    def transform(self, label: int, count: int) -> Iterator[tuple[Pixels, list[Json]]]:
        sources = self._job.indices_of(label)
        real = np.asarray(self._pixels[sources])
        for indices in _index_chunks(count, CHUNK_SIZE):
            self._job.check_stop()
            images = list(
                transform_images(
                    real, self._transforms, seed=self._job.spec.seed, label=label, indices=indices
                )
            )
            yield (
                np.stack([image.pixels for image in images]),
                [
                    {"real": int(sources[image.source_index]), "transforms": image.steps}
                    for image in images
                ],
            )

    def sample(self, label: int, count: int) -> Iterator[Pixels]:
        assert self._sampler is not None  # noqa: S101 - planning checks it
        model_label = self._model_labels[self._job.spec.labels[label].name]
        for indices in _index_chunks(count, self._sampler.batch_size):
            self._job.check_stop()
            labels = np.full(len(indices), model_label, np.int64)
            yield batched_sampling.generate_batch(
                self._sampler, self._job.spec.seed, labels, indices
            )

    def write(self, chunks: Iterator[tuple[int, Pixels]], out: Path) -> Json:
        labels: list[int] = []
        with ImageStore(out) as store:
            for label, pixels in chunks:
                store.append(pixels, is_test=False)
                labels += [label] * len(pixels)
        decoded = DecodedDataset(
            format="augmentation",
            class_names=[label["name"] for label in self._job.dataset.summary["labels"]],
            y=np.array(labels, np.int32),
            n_train=store.n_train,
            size=store.size,
            channels=store.channels,
            name_of=lambda index: f"item {index}",
            notes=[],
            issues=[],
        )
        self._job.check_stop()
        return summarize(finalize(decoded, get_settings().limits, out), out)

    def prepare_lift(
        self, pool: TrainingPool, chunks: Sequence[Pixels]
    ) -> tuple[TrainClassifier, NDArray[np.int64]]:
        holdout = self._holdout()
        true_labels = self._labels[holdout]
        n = len(pool.labels)
        data = LabeledImages(
            np.concatenate([*chunks, np.asarray(self._pixels[holdout])]),
            np.concatenate([pool.labels, true_labels]).astype(np.int32),
            np.arange(n),
            np.arange(n, n + len(holdout)),
        )
        train_classifier = classifiers.build_image_trainer(
            data, len(self._job.spec.labels), pool.max_size, self._job.check_stop, self._device
        )
        return train_classifier, true_labels.astype(np.int64)

    def _holdout(self) -> NDArray[np.int64]:
        """Return indices of the published test split or, without one, of the holdout."""
        n = self._job.dataset.summary["n_train"]
        holdout = self._job.holdout
        if n < len(self._labels):
            holdout = n + np.flatnonzero(self._labels[n:] >= 0)
        shuffled = np.random.default_rng(self._job.spec.seed).permutation(holdout)
        return np.sort(shuffled[:MAX_HOLDOUT_IMAGES])


def _index_chunks(count: int, chunk_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the integers from 0 to `count` (exclusive) in chunks."""
    for first in range(0, count, chunk_size):
        yield np.arange(first, min(first + chunk_size, count), dtype=np.int64)
