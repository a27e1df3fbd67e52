"""More images: changed ones of each label, and samples of a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.images.gathered import Gathered
from core.datasets.images.reading import finished
from core.datasets.images.store import ImageStore
from core.datasets.ingestion import told_of_images
from core.settings import get_settings
from models.augmentation import learners
from models.augmentation.transforms import Transform, Varied, varied
from models.images import drawing
from models.images.data import LabelledImages
from models.images.sampling import ImageSampler
from worker.augmentation.material import Ground, Recipes, Trial, numbers

AT_ONCE = 256
ASKED = 3_000  # held-out images, in a trial

Pixels = NDArray[np.uint8]


class ImageMaterial:
    def __init__(self, ground: Ground, pixels: Pixels, labels: NDArray[np.int32]) -> None:
        """All of the dataset, its test part behind the rest."""
        self._ground, self._pixels, self._labels = ground, pixels, labels
        generator = ground.generator()
        assert generator is None or isinstance(generator, ImageSampler)  # noqa: S101 - as planned
        self._generator = generator

    def write(self, out: Path) -> dict[str, Any]:
        spec, summary = self._ground.spec, self._ground.dataset.summary
        found: list[int] = []
        with (
            (out / "recipes.ndjson").open("w", encoding="utf-8") as file,
            ImageStore(out) as store,
        ):
            recipes = Recipes(file, spec)
            for pixels, label in self._items(recipes):
                store.append(pixels, held_out=False)
                found += [label] * len(pixels)
        gathered = Gathered(
            format="augmentation",
            label_names=[label["name"] for label in summary["labels"]],
            y=np.array(found, np.int32),
            n_train=store.n_train,
            size=store.size,
            channels=store.channels,
            name_of=lambda place: f"item {place}",
            notes=[],
            issues=[],
        )
        self._ground.go_on()
        return told_of_images(finished(gathered, get_settings().limits, out), out)

    def _items(self, recipes: Recipes) -> Iterator[tuple[Pixels, int]]:
        """Some of one label at a time."""
        for label, plan in enumerate(self._ground.spec.labels):
            places = self._ground.places(label)
            for at in numbers(plan.have if self._ground.spec.include_real else 0, AT_ONCE):
                for place in places[at]:
                    recipes.real(label, int(place))
                yield np.asarray(self._pixels[places[at]]), label
            for at, made in self._changed(label, plan.classical):
                for number, one in zip(at, made, strict=True):
                    real = int(places[one.real])
                    recipes.classical(label, int(number), real=real, transforms=one.done)
                yield np.stack([one.pixels for one in made]), label
            for at, pixels in self._drawn(label, plan.gan):
                for number in at:
                    recipes.gan(label, int(number))
                yield pixels, label

    def _changed(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], list[Varied]]]:
        spec = self._ground.spec
        transforms = [Transform(**fields) for fields in spec.transforms]
        real = np.asarray(self._pixels[self._ground.places(label)])
        for at in numbers(count, AT_ONCE):
            self._ground.go_on()
            yield at, list(varied(real, transforms, seed=spec.seed, label=label, numbers=at))

    def _drawn(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        if not count:
            return
        assert self._generator is not None  # noqa: S101 - as planned
        spec = self._ground.spec
        place = self._ground.learned()[spec.labels[label].name]
        for at in numbers(count, self._generator.batch):
            self._ground.go_on()
            labels = np.full(len(at), place, np.int64)
            yield at, drawing.drawn(self._generator, spec.seed, labels, at)

    def trial(self) -> Trial:
        ground = self._ground
        pool = ground.pool(least_classical=1)
        parts = [np.asarray(self._pixels[ground.train])]
        for label, count in enumerate(pool.classical):
            changed = self._changed(label, count)
            parts += [np.stack([one.pixels for one in made]) for _, made in changed]
        for label, count in enumerate(pool.gan):
            parts += [pixels for _, pixels in self._drawn(label, count)]
        apart = self._asked()
        parts.append(np.asarray(self._pixels[apart]))
        truth = self._labels[apart]
        n = len(pool.labels)
        data = LabelledImages(
            np.concatenate(parts),
            np.concatenate([pool.labels, truth]).astype(np.int32),
            np.arange(n),
            np.arange(n, n + len(apart)),
        )
        learn = learners.of_images(data, len(ground.spec.labels), pool.largest, ground.go_on)
        return Trial(pool, learn, truth.astype(np.int64))

    def _asked(self) -> NDArray[np.int64]:
        """The published test part, or else what is kept apart."""
        n = self._ground.dataset.summary["n_train"]
        apart = self._ground.apart
        if n < len(self._labels):
            apart = n + np.flatnonzero(self._labels[n:] >= 0)
        some = np.random.default_rng(self._ground.spec.seed).permutation(apart)[:ASKED]
        return np.sort(some)
