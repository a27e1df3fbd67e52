"""Training loop of all image architectures, for new and for resumed runs."""

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

FEATURE_BATCH_SIZE = 128
CRITIC_EVAL_IMAGES = 256  # held-out images
PREVIEW_COLUMNS, PREVIEW_ROWS = 10, 20


@dataclass(frozen=True)
class InitFrom:
    """Saved training state of the same architecture that a new run starts from.

    `label_map` holds, for each label of the new run, its index in the saved run, or -1 for a label
    that is new.
    """

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
    """Train until `callbacks.progress` is 1. Resume from `state` if it is given.

    A run has two phases: first the feature network, then generator and critic. The randomness of a
    step depends on (seed, step) only, so a resumed run equals an uninterrupted one.

    Raises:
        Collapsed: The samples hardly cover the held-out images, even late in the run.
        NonFiniteLoss: A loss is infinite or NaN.
        NonFiniteState: A weight or a statistic is infinite or NaN.
        UnreadableCheckpoint: `state` or `init_from` is not a checkpoint of the current format.
    """
    trainer = create_trainer(settings, data, seed, state, init_from)
    feature_batches = ImageBatches(data, FEATURE_BATCH_SIZE, seed)
    monitor, stopping = CoverageMonitor(trainer, data), trainer.early_stopping
    batches = (
        start_main_phase(trainer, data, callbacks) if trainer.features.frozen is not None else None
    )

    while (
        progress := stopping.schedule_progress(callbacks.progress(trainer.step))
    ) < trainer.training_fraction:
        if callbacks.should_preview(trainer.step):
            callbacks.preview(trainer.step, render_preview(trainer))
        if callbacks.should_checkpoint(trainer.step):
            callbacks.save(trainer.step, trainer.pack())

        seeding.seed_step(seed, trainer.step)
        if trainer.features.frozen is None and progress < settings.feature_budget_fraction:
            logged = {
                "feature_loss": trainer.features.train_step(
                    *feature_batches.batch_at(trainer.step), progress
                )
            }
        else:
            batches = batches or start_main_phase(trainer, data, callbacks)
            logged = trainer.train_step(*batches.batch_at(trainer.step), progress, callbacks)
        trainer.step += 1

        if trainer.step % settings.log_interval == 0:
            callbacks.report(
                trainer.step, check_finite(trainer.step, logged) | evaluate_critic(trainer, data)
            )
        if stopping.should_evaluate(progress) and (metrics := monitor.evaluate(logged)):
            callbacks.report(trainer.step, metrics)
            if stopping.update(trainer.step, progress, metrics["coverage"], patience):
                callbacks.save(
                    trainer.step, replace(trainer.pack(), score=stopping.best_saved_coverage)
                )

    trainer.finalize()
    callbacks.preview(trainer.step, render_preview(trainer))
    if metrics := monitor.evaluate({}) | evaluate_critic(trainer, data):
        callbacks.report(trainer.step, metrics)
    callbacks.save(trainer.step, replace(trainer.pack(), score=metrics.get("coverage")))


def start_main_phase(
    trainer: Trainer, data: LabeledImages, callbacks: TrainingCallbacks
) -> ImageBatches:
    """Freeze the features, assign pseudo-labels, and return the batches of the main phase."""
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
    """Create a trainer: new, restored from `state`, or with the networks of `init_from`."""
    trainer: Trainer
    if isinstance(settings, VaeGanSettings):
        trainer = VaeGanTrainer(settings, data, seed)
    else:
        assert isinstance(settings, AdversarialSettings)  # noqa: S101 - the only other class
        trainer = AdversarialTrainer(settings, seed)
    if state is not None:
        trainer.load(state)
    elif init_from is not None:
        trainer.load_pretrained(init_from.state, init_from.label_map)
    return trainer


@torch.no_grad()
def evaluate_critic(trainer: Trainer, data: LabeledImages) -> dict[str, float]:
    """Return the critic's accuracy, and calibrate its scores.

    The accuracy is measured on held-out real images and as many new fakes of the same labels. The
    result is empty if there is no critic, before the features are frozen, and with fewer than 4
    held-out images.
    """
    if len(data.holdout) < 4 or trainer.features.frozen is None or trainer.is_generator_only:
        return {}
    # A separate generator: evaluation must not change the random numbers of training.
    rng = np.random.default_rng((trainer.seed, trainer.step, 1))
    index = rng.choice(data.holdout, min(CRITIC_EVAL_IMAGES, len(data.holdout)), replace=False)
    real, y = data.batch(index)
    generator = torch.Generator().manual_seed(trainer.seed + trainer.step)
    fake = trainer.ema_generator()(torch.randn(len(y), trainer.noise_size, generator=generator), y)
    real_scores, fake_scores = trainer.D(real, y), trainer.D(fake, y)
    trainer.calibration = calibration(real_scores, fake_scores)
    accuracy = critic_accuracy(real_scores, fake_scores)
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_auc": accuracy.auc,
    }


@torch.no_grad()
def render_preview(trainer: Trainer) -> NDArray[np.uint8]:
    """Render a grid with one row per label. All rows and steps use the same noise."""
    labels = min(PREVIEW_ROWS, trainer.settings.classes)
    generator = torch.Generator().manual_seed(trainer.seed)
    if labels == 1:
        noise = torch.randn(PREVIEW_COLUMNS**2, trainer.noise_size, generator=generator)
        y = torch.zeros(len(noise), dtype=torch.long)
    else:
        row = torch.randn(PREVIEW_COLUMNS, trainer.noise_size, generator=generator)
        noise, y = row.repeat(labels, 1), torch.arange(labels).repeat_interleave(PREVIEW_COLUMNS)
    return make_grid(to_pixels(trainer.ema_generator()(noise, y)), PREVIEW_COLUMNS)
