"""Samples of images against the held-out real ones, which training never saw."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.images.data import LabelledImages
from models.measures import naive
from models.measures.classifier import ClassifierSettings, learned, steps_for
from models.measures.coverage import Places, places
from models.measures.distances import frechet, kernel
from models.measures.membership import attack
from models.measures.ranking import told_apart
from models.measures.scores import Measured, Score, resampled, score
from models.measures.statistics import figures, histogram, plane
from models.measures.yardstick import Yardstick
from models.run import GoOn

MOST = 4_000  # images that are compared with each other one by one
LOOKED_UP = 1_000  # images whose neighbours among all training images are looked for
NEIGHBOURS = 10
ATTACKED = 2_000  # training images, and as many unseen ones
SMALL = 16  # pixels on a side, at most, of what an attacker compares
AT_ONCE = 4_000
UNSEEN = 0.01  # of unseen real images are as near to a training image as a near copy
TRAINED_EPOCHS = 20
TRAINED_STEPS = (150, 300)
TOLD = 2_000
TOLD_EPOCHS = 5
TOLD_STEPS = (60, 150)
PLAIN = 0.5  # of an image's contrast
ENOUGH = 20  # held-out images to judge by
SHOWN = 1_000  # images whose main directions are looked for
FEW = 10  # of a label that is shown by itself
MANY = 200  # of one whose distance is: of fewer it is mostly their number


@dataclass(frozen=True)
class Look:
    """Some images in pixels and features; `labels` as asked for, `said` as the yardstick sees."""

    images: Tensor
    labels: Tensor
    features: Tensor
    said: Tensor


@dataclass(frozen=True)
class Neighbours:
    """The nearest training image of each of some samples."""

    nearest: NDArray[np.int64]  # (Q,) places in the data set
    copies: Measured
    replayed: Measured
    ceiling: tuple[float, float]
    distances: dict[str, list[float]] | None  # of unseen images and of samples


@dataclass(frozen=True)
class Judged:
    scores: list[Score]
    neighbours: NDArray[np.int64]  # of the first samples, the nearest training images
    views: dict[str, Any]  # what a report shows besides, by name


def judge(
    yardstick: Yardstick,
    data: LabelledImages,
    made: tuple[NDArray[np.uint8], NDArray[np.int64]],
    names: list[str],
    *,
    seed: int,
    go_on: GoOn,
) -> Judged:
    """`data.held_out` is what nothing has seen, not even the yardstick; at least ENOUGH images.
    Samples are compared with as many training images (the ceiling) and with Gaussians of pixels
    (the baseline)."""
    rng = np.random.default_rng(seed)
    pixels, labels = made

    def seen(x: Tensor, y: Tensor) -> Look:
        return Look(x, y, *yardstick.look(x, go_on))

    count = len(pixels)
    fake = seen(*LabelledImages(pixels, labels.astype(np.int32), *_none()).batch(np.arange(count)))
    # In no order: a set may come sorted by label, and some measures look at the first few.
    real = seen(*data.batch(rng.permutation(data.held_out)))
    chosen = rng.choice(data.train, min(count, len(data.train)), replace=False)
    ceiling = seen(*data.batch(chosen))
    baseline = seen(
        naive.gaussians(ceiling.images, ceiling.labels, fake.labels, seed),
        fake.labels,
    )
    three = (fake, ceiling, baseline)
    scores = _distances(real, three, names, seed, go_on)
    scores += _coverage(real, three, names, rng)
    scores += _told_apart(real, three, seed, go_on)
    if yardstick.classes > 1:
        scores += [_fidelity(real, three, names), _trained_on(real, three, names, seed, go_on)]
    near = _neighbours(data, fake.images, real.images, rng, go_on)
    scores += [
        score("near_copies", near.copies, "lower", ceiling=near.ceiling[0]),
        score("replayed", near.replayed, "lower", ceiling=near.ceiling[1]),
    ]
    scores += _membership(data, real.images, fake.images, baseline.images, rng, seed, go_on)
    features = [look.features[:SHOWN].double().numpy() for look in (real, fake)]
    views = {
        "statistics": _statistics(real, fake, names),
        "scatter": plane(*features),
        "nearest": near.distances,
    }
    return Judged(scores, near.nearest, views)


def _statistics(real: Look, fake: Look, names: list[str]) -> list[dict[str, Any]]:
    """Of the mean and the standard deviation of each image's pixels, from 0 to 255, for all and for
    each label."""
    found = []
    for label, name in [(None, None), *enumerate(names)]:
        sides = [
            look.images if label is None else look.images[look.labels == label]
            for look in (real, fake)
        ]
        for column, measure in (("brightness", torch.mean), ("contrast", torch.std)):
            shift = 127.5 if column == "brightness" else 0.0
            one, other = (
                (measure(side.flatten(1), dim=1) * 127.5 + shift).double().numpy() for side in sides
            )
            about = {"column": column, "type": "number", "label": name}
            compared = {"real": figures(one), "synthetic": figures(other)}
            found.append({**about, **compared, "histogram": histogram(one, other)})
    return found


def _none() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.empty(0, np.int64), np.empty(0, np.int64)


Three = tuple[Look, Look, Look]  # samples, ceiling, baseline


def _distances(real: Look, three: Three, names: list[str], seed: int, go_on: GoOn) -> list[Score]:
    def far(look: Look) -> float:
        go_on()
        return frechet(real.features, look.features)

    def drawn_again(index: NDArray[np.int64]) -> float:
        go_on()
        return frechet(real.features, fake.features[torch.from_numpy(index)])

    fake, ceiling, baseline = three
    found = resampled(drawn_again, len(fake.features), seed)
    apart = [kernel(real.features, look.features, go_on) for look in three]
    each = {}
    for label, name in enumerate(names):
        mine = [look.features[look.labels == label] for look in (real, fake)]
        if min(map(len, mine)) >= MANY:
            each[name] = frechet(*mine)
    return [
        score(
            "frechet",
            found,
            "lower",
            ceiling=far(ceiling),
            baseline=far(baseline),
            per_class=each,
        ),
        score("kernel", apart[0], "lower", ceiling=apart[1], baseline=apart[2]),
    ]


def _coverage(real: Look, three: Three, names: list[str], rng: np.random.Generator) -> list[Score]:
    which = torch.from_numpy(rng.permutation(len(real.features))[:MOST])
    features, labels = real.features[which], real.labels[which]
    parts = [torch.from_numpy(rng.permutation(len(look.features))[:MOST]) for look in three]
    found = [places(features, look.features[p]) for look, p in zip(three, parts, strict=True)]
    made_labels = three[0].labels[parts[0]]
    measures: list[tuple[str, Callable[[Places], Tensor], Tensor]] = [
        ("precision", lambda p: p.precise, made_labels),
        ("recall", lambda p: p.recalled, labels),
        ("density", lambda p: p.density, made_labels),
        ("coverage", lambda p: p.covered, labels),
    ]
    scores = []
    for name, measure, of in measures:
        value, ceiling, baseline = (_mean(measure(p)) for p in found)
        each = _by_label(measure(found[0]), of, names)
        scores.append(
            score(name, value, "higher", ceiling=ceiling, baseline=baseline, per_class=each)
        )
    return scores


def _mean(values: Tensor) -> Measured:
    return Measured.of_each(values.double().numpy())


def _by_label(values: Tensor, labels: Tensor, names: list[str]) -> dict[str, float]:
    found = {}
    for index, name in enumerate(names):
        mine = values[labels == index]
        if len(mine) >= FEW:
            found[name] = float(mine.double().mean())
    return found


def _fidelity(real: Look, three: Three, names: list[str]) -> Score:
    """Unseen images are the ceiling: of those that it learned from, a yardstick knows the labels by
    heart."""
    fake, _, baseline = three
    right = [look.said == look.labels for look in (fake, real, baseline)]
    return score(
        "label_fidelity",
        _mean(right[0]),
        "higher",
        ceiling=_mean(right[1]),
        baseline=_mean(right[2]),
        per_class=_by_label(right[0], three[0].labels, names),
    )


def _trained_on(real: Look, three: Three, names: list[str], seed: int, go_on: GoOn) -> Score:
    """Accuracy on the held-out images of a classifier that has seen nothing but the samples."""
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])

    def right(look: Look) -> Tensor:
        def batch(index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            return look.images[index], look.labels[index]

        count = len(look.images)
        network = learned(
            batch,
            count,
            shape,
            len(names),
            ClassifierSettings(steps_for(TRAINED_EPOCHS, count, TRAINED_STEPS)),
            seed=seed,
            go_on=go_on,
        )
        said = network.look(real.images, go_on)[1].argmax(1)
        return said == real.labels

    found = [right(look) for look in three]
    return score(
        "utility",
        _mean(found[0]),
        "higher",
        ceiling=_mean(found[1]),
        baseline=_mean(found[2]),
        per_class=_by_label(found[0], real.labels, names),
    )


def _told_apart(real: Look, three: Three, seed: int, go_on: GoOn) -> list[Score]:
    """Of a fresh critic, which learns from one half of as many held-out images and samples, and is
    asked about the other."""
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])
    rng = np.random.default_rng(seed)

    def said(look: Look) -> tuple[Tensor, Tensor]:
        n = min(len(real.images), len(look.images), TOLD)
        one, other = (
            part.images[torch.from_numpy(rng.permutation(len(part.images))[:n])]
            for part in (real, look)
        )
        half = n // 2
        x = torch.cat([one[:half], other[:half]])
        y = torch.arange(2 * half) // half
        steps = steps_for(TOLD_EPOCHS, len(x), TOLD_STEPS)
        network = learned(
            lambda index: (x[index], y[index]),
            len(x),
            shape,
            2,
            ClassifierSettings(steps),
            seed=seed,
            go_on=go_on,
        )
        logits = [network.look(part[half:], go_on)[1] for part in (one, other)]
        return logits[0][:, 1] - logits[0][:, 0], logits[1][:, 1] - logits[1][:, 0]

    return told_apart([said(look) for look in three])


def _neighbours(
    data: LabelledImages, fake: Tensor, real: Tensor, rng: np.random.Generator, go_on: GoOn
) -> Neighbours:
    """How near samples lie to training images, in pixels. A near copy is nearer to one than 99 % of
    unseen real images are. Smooth samples are, too: one that was replayed is besides much nearer to
    one training image than to its next ones (as in Carlini et al. 2023, 2301.13188). Blurred ones
    lie near the few smooth training images: a replay is nearer than half of what makes its training
    image differ from a plain one."""
    looked = fake[:LOOKED_UP]
    unseen = real[torch.from_numpy(rng.permutation(len(real))[:LOOKED_UP])]
    near, places = _nearest(data, torch.cat([looked, unseen]).flatten(1), go_on)
    alone = near[:, 0] / near[:, 1:].mean(1).clamp(min=1e-9)
    n, half = len(looked), (len(looked) + len(near)) // 2
    close, single = (of[n:half].quantile(UNSEEN) for of in (near[:, 0], alone))
    copied = near[:, 0] < close
    shown = data.batch(places.numpy())[0].flatten(1)
    contrast = shown.std(1, correction=0) * shown.shape[1] ** 0.5
    replayed = copied & (alone < single) & (near[:, 0] < PLAIN * contrast)
    return Neighbours(
        places[:n].numpy(),
        _mean(copied[:n]),
        _mean(replayed[:n]),
        (float(copied[half:].float().mean()), float(replayed[half:].float().mean())),
        histogram(*(side.double().numpy() for side in (near[n:, 0], near[:n, 0]))),
    )


def _membership(
    data: LabelledImages,
    real: Tensor,
    fake: Tensor,
    naive: Tensor,
    rng: np.random.Generator,
    seed: int,
    go_on: GoOn,
) -> list[Score]:
    """In pixels of small images: the yardstick has seen the training images, and would tell them
    from the others by itself. One half of the held-out ones is attacked with as many training
    images, the other half is what an attacker knows."""
    order = torch.from_numpy(rng.permutation(len(real)))
    n = min(len(real) // 2, ATTACKED)
    chosen = rng.choice(data.train, min(n, len(data.train)), replace=False)
    groups = data.batch(np.sort(chosen))[0], real[order[:n]], real[order[n:]], fake, naive
    return attack(*map(_small, groups), nearest=partial(_distance, go_on=go_on), seed=seed)


def _small(images: Tensor) -> Tensor:
    height, width = (min(side, SMALL) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images, (height, width)).flatten(1)


def _distance(items: Tensor, others: Tensor, go_on: GoOn) -> Tensor:
    """(N,) from each item to the nearest of the others."""
    found = []
    for part in items.split(AT_ONCE // 8):
        go_on()
        found.append(torch.cdist(part, others).min(1).values)
    return torch.cat(found)


@torch.inference_mode()
def _nearest(data: LabelledImages, looked: Tensor, go_on: GoOn) -> tuple[Tensor, Tensor]:
    """(Q, NEIGHBOURS) distances to the nearest training images and (Q,) the place of the first."""
    size = looked.square().sum(1, keepdim=True)
    best = torch.full((len(looked), 0), 0.0)
    index = torch.full((len(looked), 0), 0)
    # Images without a label may have been learned from with a guessed one.
    seen = np.sort(np.concatenate([data.train, data.unlabelled]))
    for first in range(0, len(seen), AT_ONCE):
        go_on()
        part = seen[first : first + AT_ONCE]
        images = data.batch(part)[0].flatten(1)
        far = (size + images.square().sum(1) - 2 * looked @ images.T).clamp(min=0)
        best = torch.cat([best, far], 1)
        index = torch.cat([index, torch.from_numpy(part).expand(len(looked), -1)], 1)
        k = min(NEIGHBOURS, best.shape[1])
        best, order = best.topk(k, dim=1, largest=False)
        index = index.gather(1, order)
    return best.sqrt(), index[:, 0]
