"""The training loop of every architecture, from the first step or from a saved state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models import seeding
from models.images.adversarial.settings import AdversarialSettings
from models.images.adversarial.training import AdversarialTrainer
from models.images.coverage_monitor import CoverageMonitor
from models.images.data import ImageBatches, LabeledImages
from models.images.early_stopping import Patience
from models.images.image_grid import make_grid
from models.images.pseudo_labels import assign_pseudo_labels
from models.images.sampling import to_pixels
from models.images.settings import ImageSettings
from models.images.trainer import Trainer
from models.images.vae_gan.settings import VaeGanSettings
from models.images.vae_gan.training import VaeGanTrainer
from models.metrics.critic import calibration, critic_accuracy
from models.training_callbacks import TrainingCallbacks, check_finite

CLASSIFIER_BATCH = 128
CRITIC_EVAL_IMAGES = 256  # held-out images for the critic's accuracy
PREVIEW_COLUMNS, PREVIEW_ROWS = 10, 20


@dataclass(frozen=True)
class InitFrom:
    """A saved state of the same architecture; `labels` has for each label of this run the one that
    it had there, or -1 if it is new."""

    state: Path
    label_map: Sequence[int]


def train(
    data: LabeledImages,
    settings: ImageSettings,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
    init_from: InitFrom | None = None,
    patience: Patience = "auto",
) -> None:
    """Train until `run.progress` is 1; goes on from `state` if there is one.

    Every step's randomness comes from (seed, step): a resumed run equals an unbroken one. Raises
    models.training_callbacks.Collapsed when the images never come to cover the held-out ones.
    """
    nets = create_trainer(settings, data, seed, state, init_from)
    wide = ImageBatches(data, CLASSIFIER_BATCH, seed)
    watch, course = CoverageMonitor(nets, data), nets.early_stopping
    batches = start_main_phase(nets, data, callbacks) if nets.features.frozen is not None else None

    while (
        progress := course.schedule_progress(callbacks.progress(nets.step))
    ) < nets.training_fraction:
        if callbacks.should_preview(nets.step):
            callbacks.preview(nets.step, render_preview(nets))
        if callbacks.should_checkpoint(nets.step):
            callbacks.save(nets.step, nets.pack())

        seeding.seed_step(seed, nets.step)
        if nets.features.frozen is None and progress < settings.feature_budget_fraction:
            logged = {"feature_loss": nets.features.train_step(*wide.batch_at(nets.step), progress)}
        else:
            batches = batches or start_main_phase(nets, data, callbacks)
            logged = nets.train_step(*batches.batch_at(nets.step), progress, callbacks)
        nets.step += 1

        if nets.step % settings.log_interval == 0:
            callbacks.report(
                nets.step, check_finite(nets.step, logged) | evaluate_critic(nets, data)
            )
        if course.should_evaluate(progress) and (seen := watch.evaluate(logged)):
            callbacks.report(nets.step, seen)
            if course.update(nets.step, progress, seen["coverage"], patience):
                callbacks.save(nets.step, replace(nets.pack(), score=course.best_saved_coverage))

    nets.finalize()
    callbacks.preview(nets.step, render_preview(nets))
    if seen := watch.evaluate({}) | evaluate_critic(nets, data):
        callbacks.report(nets.step, seen)
    callbacks.save(nets.step, replace(nets.pack(), score=seen.get("coverage")))


def start_main_phase(
    trainer: Trainer, data: LabeledImages, callbacks: TrainingCallbacks
) -> ImageBatches:
    """The features stay as they are from here on. What the networks learn from: images that came
    without a label, too, if the features tell it."""
    if trainer.features.frozen is None:
        trainer.freeze_features()
    if len(data.unlabeled):
        callbacks.report(
            trainer.step,
            {"pseudo_labels": assign_pseudo_labels(trainer.features, data, trainer.seed)},
        )
    return ImageBatches(data, trainer.settings.batch_size, trainer.seed)


def create_trainer(
    settings: ImageSettings,
    data: LabeledImages,
    seed: int,
    state: Path | None,
    init_from: InitFrom | None,
) -> Trainer:
    """New, as it was saved, or with another run's networks."""
    nets: Trainer
    if isinstance(settings, VaeGanSettings):
        nets = VaeGanTrainer(settings, data, seed)
    else:
        assert isinstance(settings, AdversarialSettings)  # noqa: S101 - there are two kinds
        nets = AdversarialTrainer(settings, seed)
    if state is not None:
        nets.load(state)
    elif init_from is not None:
        nets.load_pretrained(init_from.state, init_from.label_map)
    return nets


@torch.no_grad()
def evaluate_critic(trainer: Trainer, data: LabeledImages) -> dict[str, float]:
    """Accuracy on held-out real images and as many fresh fakes of the same labels; the scores
    calibrate the critic's, too."""
    if len(data.holdout) < 4 or trainer.features.frozen is None or trainer.is_generator_only:
        return {}
    rng = np.random.default_rng(
        (trainer.seed, trainer.step, 1)
    )  # apart from the training's own numbers
    index = rng.choice(data.holdout, min(CRITIC_EVAL_IMAGES, len(data.holdout)), replace=False)
    real, y = data.batch(index)
    numbers = torch.Generator().manual_seed(trainer.seed + trainer.step)
    fake = trainer.ema_generator()(torch.randn(len(y), trainer.noise_size, generator=numbers), y)
    of_real, of_fake = trainer.D(real, y), trainer.D(fake, y)
    trainer.calibration = calibration(of_real, of_fake)
    accuracy = critic_accuracy(of_real, of_fake)
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_auc": accuracy.auc,
    }


@torch.no_grad()
def render_preview(trainer: Trainer) -> NDArray[np.uint8]:
    """A row for each label, the same noise in each row and at each step."""
    labels = min(PREVIEW_ROWS, trainer.settings.classes)
    numbers = torch.Generator().manual_seed(trainer.seed)
    if labels == 1:
        noise = torch.randn(PREVIEW_COLUMNS**2, trainer.noise_size, generator=numbers)
        y = torch.zeros(len(noise), dtype=torch.long)
    else:
        row = torch.randn(PREVIEW_COLUMNS, trainer.noise_size, generator=numbers)
        noise, y = row.repeat(labels, 1), torch.arange(labels).repeat_interleave(PREVIEW_COLUMNS)
    return make_grid(to_pixels(trainer.ema_generator()(noise, y)), PREVIEW_COLUMNS)
