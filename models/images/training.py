"""The training loop of every architecture, from the first step or from a saved state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models import chance
from models.images.adversarial.settings import AdversarialSettings
from models.images.adversarial.training import Adversarial
from models.images.course import EarlyStop
from models.images.data import Batches, LabelledImages
from models.images.guessing import guess_labels
from models.images.guided.settings import GuidedSettings
from models.images.guided.training import Guided
from models.images.learner import Learner
from models.images.pictures import sheet
from models.images.sampling import to_pixels
from models.images.settings import ImageSettings
from models.images.watch import Watch
from models.measures.critic import calibration, critic_accuracy
from models.run import Run, check_finite

CLASSIFIER_BATCH = 128
MEASURED = 256  # held-out images for the critic's accuracy
PREVIEW_COLUMNS, PREVIEW_ROWS = 10, 20


@dataclass(frozen=True)
class WarmStart:
    """A saved state of the same architecture; `labels` has for each label of this run the one that
    it had there, or -1 if it is new."""

    state: Path
    labels: Sequence[int]


def train(
    data: LabelledImages,
    settings: ImageSettings,
    run: Run,
    *,
    seed: int,
    state: Path | None = None,
    warm_start: WarmStart | None = None,
    early_stop: EarlyStop = "auto",
) -> None:
    """Train until `run.progress` is 1; goes on from `state` if there is one.

    Every step's randomness comes from (seed, step): a resumed run equals an unbroken one. Raises
    models.run.Collapsed when the images never come to cover the held-out ones.
    """
    nets = learner(settings, data, seed, state, warm_start)
    wide = Batches(data, CLASSIFIER_BATCH, seed)
    watch, course = Watch(nets, data), nets.course
    batches = settled(nets, data, run) if nets.features.frozen is not None else None

    while (progress := course.hurried(run.progress(nets.step))) < nets.until:
        if run.wants_preview(nets.step):
            run.preview(nets.step, preview(nets))
        if run.wants_checkpoint(nets.step):
            run.save(nets.step, nets.pack())

        chance.begin_step(seed, nets.step)
        if nets.features.frozen is None and progress < settings.features_until:
            logged = {"feature_loss": nets.features.learn(*wide.at(nets.step), progress)}
        else:
            batches = batches or settled(nets, data, run)
            logged = nets.learn(*batches.at(nets.step), progress, run)
        nets.step += 1

        if nets.step % settings.log_every == 0:
            run.report(nets.step, check_finite(nets.step, logged) | measure_critic(nets, data))
        if course.is_due(progress) and (seen := watch.look(logged)):
            run.report(nets.step, seen)
            if course.enter(nets.step, progress, seen["coverage"], early_stop):
                run.save(nets.step, replace(nets.pack(), score=course.kept))

    nets.complete()
    run.preview(nets.step, preview(nets))
    if seen := watch.look({}) | measure_critic(nets, data):
        run.report(nets.step, seen)
    run.save(nets.step, replace(nets.pack(), score=seen.get("coverage")))


def settled(nets: Learner, data: LabelledImages, run: Run) -> Batches:
    """The features stay as they are from here on. What the networks learn from: images that came
    without a label, too, if the features tell it."""
    if nets.features.frozen is None:
        nets.settle()
    if len(data.unlabelled):
        run.report(nets.step, {"guessed_labels": guess_labels(nets.features, data, nets.seed)})
    return Batches(data, nets.settings.batch, nets.seed)


def learner(
    settings: ImageSettings,
    data: LabelledImages,
    seed: int,
    state: Path | None,
    warm_start: WarmStart | None,
) -> Learner:
    """New, as it was saved, or with another run's networks."""
    nets: Learner
    if isinstance(settings, GuidedSettings):
        nets = Guided(settings, data, seed)
    else:
        assert isinstance(settings, AdversarialSettings)  # noqa: S101 - there are two kinds
        nets = Adversarial(settings, seed)
    if state is not None:
        nets.load(state)
    elif warm_start is not None:
        nets.adopt(warm_start.state, warm_start.labels)
    return nets


@torch.no_grad()
def measure_critic(nets: Learner, data: LabelledImages) -> dict[str, float]:
    """Accuracy on held-out real images and as many fresh fakes of the same labels; the scores
    calibrate the critic's, too."""
    if len(data.held_out) < 4 or nets.features.frozen is None or nets.is_alone:
        return {}
    rng = np.random.default_rng((nets.seed, nets.step, 1))  # apart from the training's own numbers
    index = rng.choice(data.held_out, min(MEASURED, len(data.held_out)), replace=False)
    real, y = data.batch(index)
    numbers = torch.Generator().manual_seed(nets.seed + nets.step)
    fake = nets.draw()(torch.randn(len(y), nets.noise_size, generator=numbers), y)
    of_real, of_fake = nets.D(real, y), nets.D(fake, y)
    nets.calibration = calibration(of_real, of_fake)
    accuracy = critic_accuracy(of_real, of_fake)
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_pairs": accuracy.pairs,
    }


@torch.no_grad()
def preview(nets: Learner) -> NDArray[np.uint8]:
    """A row for each label, the same noise in each row and at each step."""
    labels = min(PREVIEW_ROWS, nets.settings.classes)
    numbers = torch.Generator().manual_seed(nets.seed)
    if labels == 1:
        noise = torch.randn(PREVIEW_COLUMNS**2, nets.noise_size, generator=numbers)
        y = torch.zeros(len(noise), dtype=torch.long)
    else:
        row = torch.randn(PREVIEW_COLUMNS, nets.noise_size, generator=numbers)
        noise, y = row.repeat(labels, 1), torch.arange(labels).repeat_interleave(PREVIEW_COLUMNS)
    return sheet(to_pixels(nets.draw()(noise, y)), PREVIEW_COLUMNS)
