"""Evaluation of an image model: the samples, the real images, and the pictures of the report."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.database import write
from core.datasets import repository as datasets
from core.storage import StoredObject, key_of
from modalities.evaluation import EvaluationInput, EvaluationOutput, Picture
from modalities.image.encode import encode_png
from modalities.image.train import open_images
from models.images.contact_sheet import Section, draw_sheet
from models.images.data import LabeledImages
from models.images.reduction import Size, reduce_images, size_within
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images import evaluation as metrics
from models.split import UNLABELED

# Larger images are reduced before they are compared, in pixels per side: the cost of an evaluation
# grows with the area, and the features hardly use finer details.
MAX_EVALUATED_SIDE = 64
GALLERY_IMAGES_PER_LABEL = 8
MAX_GALLERY_LABELS = 20
MAX_GALLERY_SIDE = 128  # pixels; larger images are reduced in the pictures of a report
NEAREST_PAIRS = 24  # pairs of a sample and its nearest training image in nearest.png
GALLERY_TITLES = {
    "samples.png": "Samples, one row per label",
    "real.png": "Unseen real images, one row per label",
}
NEAREST_TITLE = "Samples, each with the nearest training image to its right"


def evaluate(evaluation: EvaluationInput) -> EvaluationOutput:
    """Compare samples with the test split of the dataset, or with the holdout of the training."""
    labels = evaluation.model.manifest["labels"]
    names = [label["name"] for label in labels]
    image = evaluation.model.manifest["image"]
    size = size_within((image["height"], image["width"]), MAX_EVALUATED_SIDE)
    pixels, indices = [], []
    for batch in evaluation.generate():
        pixels.append(reduce_images(batch.items, size))
        indices.append(batch.labels)
    synthetic = np.concatenate(pixels), np.concatenate(indices)
    with _open_holdout(evaluation, size) as data:
        shape = (image["channels"], *size)
        classifier = _evaluation_classifier(evaluation, data, shape, max(1, len(labels)))
        result = metrics.evaluate(
            classifier,
            data,
            synthetic,
            names,
            seed=evaluation.seed,
            check_stop=evaluation.check_stop,
            device=torch.device(evaluation.device),
        )
        holdout = data.holdout
        galleries: dict[str, tuple[NDArray[np.uint8], NDArray[Any]]] = {
            "samples.png": synthetic,
            "real.png": (np.asarray(data.pixels[holdout]), data.labels[holdout]),
        }
        pictures = [
            Picture(file, GALLERY_TITLES[file], _draw_gallery(pixels, label_indices, names))
            for file, (pixels, label_indices) in galleries.items()
        ]
        nearest = result.nearest_train_indices[:NEAREST_PAIRS]
        pairs = np.stack([synthetic[0][: len(nearest)], data.pixels[nearest]], 1)
        sheet = draw_sheet([Section("", pair) for pair in pairs], 2, max_side=MAX_GALLERY_SIDE)
        pictures.append(Picture("nearest.png", NEAREST_TITLE, encode_png(sheet)))
    return EvaluationOutput(result.scores, len(holdout), result.report_sections, pictures)


@contextmanager
def _open_holdout(evaluation: EvaluationInput, size: Size) -> Iterator[LabeledImages]:
    """Open the dataset in `size` (height, width), with its published test split as the holdout.

    Without a test split, the holdout is that of the training: same seed, same fraction.
    """
    dataset, training_spec = evaluation.dataset, evaluation.training_spec
    if not dataset.summary["n_test"]:
        with open_images(dataset, training_spec, evaluation.storage, size=size) as data:
            yield data
        return
    n = dataset.summary["n_train"]
    with open_images(
        dataset, training_spec, evaluation.storage, size=size, include_test_split=True
    ) as data:
        labeled = np.flatnonzero(data.labels != UNLABELED)
        yield replace(
            data,
            train=labeled[labeled < n],
            holdout=labeled[labeled >= n],
            unlabeled=data.unlabeled[data.unlabeled < n],
        )


def _evaluation_classifier(
    evaluation: EvaluationInput,
    data: LabeledImages,
    shape: tuple[int, int, int],
    classes: int,
) -> EvaluationClassifier:
    """Load the classifier stored with the dataset, or train and store a new one.

    `shape` is that of the images, (C, H, W). All evaluations with the same holdout share one
    classifier, so their scores are comparable.
    """
    dataset, storage = evaluation.dataset, evaluation.storage
    device = torch.device(evaluation.device)
    training_spec = evaluation.training_spec
    has_test_split = bool(dataset.summary["n_test"])
    split = None if has_test_split else [training_spec.holdout_fraction, training_spec.seed]
    version = json.dumps([EvaluationClassifier.version, classes, split, shape]).encode()
    name = f"evaluation-classifier-{hashlib.sha256(version).hexdigest()[:12]}"
    if name in dataset.objects:
        packed = storage.read(StoredObject.from_dict(dataset.objects[name]))
        return EvaluationClassifier.unpack(packed, shape, classes, device)
    classifier = EvaluationClassifier.fit(data, classes, evaluation.check_stop, device=device)
    key = key_of(dataset.tenant_id, "datasets", dataset.id, f"{name}-{evaluation.job_id}")
    stored = storage.put(key, classifier.pack())
    with write() as session:
        attached = datasets.attach_object(session, dataset, name, stored)
    if not attached:
        storage.delete([stored.key])
    return classifier


def _draw_gallery(pixels: NDArray[np.uint8], labels: NDArray[Any], names: Sequence[str]) -> bytes:
    """Draw the first images of each label. A label with too few images repeats them."""
    sections = [
        Section(
            names[label] if names else "",
            pixels[np.resize(np.flatnonzero(labels == label), GALLERY_IMAGES_PER_LABEL)],
        )
        for label in np.unique(labels)[:MAX_GALLERY_LABELS]
    ]
    sheet = draw_sheet(sections, GALLERY_IMAGES_PER_LABEL, max_side=MAX_GALLERY_SIDE)
    return encode_png(sheet)
