"""What sets of images are made into before a measurement: fewer, rarer, finer, larger."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Arrays = dict[str, NDArray[Any]]
Transform = Callable[[Arrays], Arrays]

VALIDATION = 10_000  # images, or a fifth of a smaller set


def unchanged(arrays: Arrays) -> Arrays:
    return arrays


def first_of_each(per_label: int) -> Transform:
    """The first images of each class, in the order of the file."""
    return lambda arrays: _keep(
        arrays,
        np.concatenate([_of(arrays, c)[:per_label] for c in np.unique(arrays["y_train"])]),
    )


def keep_classes(*kept: int) -> Transform:
    """Some classes alone, numbered anew."""

    def change(arrays: Arrays) -> Arrays:
        found = {}
        for part in ("train", "test"):
            y = arrays[f"y_{part}"]
            mine = np.isin(y, kept)
            found[f"x_{part}"] = arrays[f"x_{part}"][mine]
            found[f"y_{part}"] = np.searchsorted(np.array(kept), y[mine])
        return found

    return change


def limit_class(label: int, count: int) -> Transform:
    """One class keeps its first images only."""
    return lambda arrays: _keep(
        arrays,
        np.concatenate([np.flatnonzero(arrays["y_train"] != label), _of(arrays, label)[:count]]),
    )


def split_classes(clusters: int, per_cluster: int) -> Transform:
    """Each class is cut into parts by k-means (Lloyd 1982), each part keeps its first images."""

    def change(arrays: Arrays) -> Arrays:
        y_train, y_test = (np.empty_like(arrays[f"y_{part}"]) for part in ("train", "test"))
        for label in np.unique(arrays["y_train"]):
            mine, theirs = _of(arrays, label), np.flatnonzero(arrays["y_test"] == label)
            centres = _centres(_flat(arrays["x_train"][mine]), clusters)
            y_train[mine] = label * clusters + _nearest(_flat(arrays["x_train"][mine]), centres)
            y_test[theirs] = label * clusters + _nearest(_flat(arrays["x_test"][theirs]), centres)
        # In a new order, or a judge that knows a set by its test images takes it for the old one.
        order = np.argsort(y_test, kind="stable")
        test = {"x_test": arrays["x_test"][order], "y_test": y_test[order]}
        return first_of_each(per_cluster)(arrays | {"y_train": y_train} | test)

    return change


def upscale(side: int) -> Transform:
    def change(arrays: Arrays) -> Arrays:
        def resized(image: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(Image.fromarray(image).resize((side, side)))

        return arrays | {
            name: np.stack([resized(image) for image in arrays[name]])
            for name in ("x_train", "x_test")
        }

    return change


def use_validation_split(arrays: Arrays) -> Arrays:
    """A part of the training images in place of the test part, which stays unseen: for choosing."""
    n = len(arrays["x_train"])
    order = np.random.default_rng(5).permutation(n)
    apart, rest = np.split(order, [min(VALIDATION, n // 5)])
    return {
        f"{name}_{part}": arrays[f"{name}_train"][np.sort(index)]
        for name in ("x", "y")
        for part, index in (("train", rest), ("test", apart))
    }


def _of(arrays: Arrays, label: int) -> NDArray[np.int64]:
    return np.flatnonzero(arrays["y_train"] == label)


def _keep(arrays: Arrays, index: NDArray[np.int64]) -> Arrays:
    index = np.sort(index)
    return arrays | {name: arrays[name][index] for name in ("x_train", "y_train")}


def _flat(images: NDArray[Any]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32)


def _nearest(x: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    distance = (centres**2).sum(1) - 2 * x @ centres.T
    nearest: NDArray[np.int64] = distance.argmin(1)
    return nearest


def _centres(x: NDArray[np.float32], parts: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    centres = x[rng.choice(len(x), parts, replace=False)]
    for _ in range(20):
        nearest = _nearest(x, centres)
        centres = np.stack(
            [x[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(parts)]
        )
    return centres
