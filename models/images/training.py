"""Training of all image architectures, for new and for resumed runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import training_loop
from models.checkpoint import (
    Resumable,
    count_parameters,
    load_state,
    pack_model,
    pack_state,
    read_state,
)
from models.images.adversarial.settings import AdversarialSettings
from models.images.adversarial.training import Gan
from models.images.contact_sheet import Section, draw_sheet
from models.images.coverage_monitor import CoverageMonitor
from models.images.data import ImageBatches, LabeledImages
from models.images.early_stopping import EarlyStopping, Patience
from models.images.feature_extractor import FeatureNetwork
from models.images.main_phase import MainPhase
from models.images.pseudo_labels import assign_pseudo_labels
from models.images.sampling import to_pixels
from models.images.settings import CONTENT, ImageSettings
from models.images.vae_gan.settings import VaeGanSettings
from models.images.vae_gan.training import VaeGan
from models.metrics.critic import calibration, critic_accuracy
from models.microbatch import apply_in_parts
from models.placement import CPU
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks, check_finite

FEATURE_BATCH_SIZE = 128
CRITIC_EVAL_IMAGES = 256  # held-out images
PREVIEW_COLUMNS, PREVIEW_ROWS = 10, 20
MAX_PREVIEW_SIDE = 96  # pixels; larger images are reduced, because a run saves many previews


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
    label_names: Sequence[str] = (),
    state: Path | None = None,
    init_from: InitFrom | None = None,
    patience: Patience = "auto",
    device: torch.device = CPU,
    records_steps: bool = True,
) -> None:
    """Train on a device until `callbacks.progress` is 1. Resume from `state` if it is given.

    `label_names` are the captions of previews. `records_steps`: see models.step_graphs.

    Raises:
        Collapsed: The samples hardly cover the held-out images, even late in the run.
        NonFiniteLoss: A loss is infinite or NaN.
        NonFiniteState: A weight or a statistic is infinite or NaN.
        UnreadableCheckpoint: `state` or `init_from` is not a checkpoint of the current format.
    """
    trainer = ImageTrainer(settings, data.on(device), seed, patience, label_names)
    if state is not None:
        trainer.load(state)
    elif init_from is not None:
        trainer.load_pretrained(init_from)
    if trainer.features.frozen is not None:
        trainer.start_main_phase()
    training_loop.train(trainer, callbacks, records_steps=records_steps)


class ImageTrainer:
    """A run of two phases: first the feature network, then the networks of the architecture."""

    saved = ("step", "calibration", "early_stopping")

    def __init__(
        self,
        settings: ImageSettings,
        data: LabeledImages,
        seed: int,
        patience: Patience = "auto",
        label_names: Sequence[str] = (),
    ) -> None:
        torch.manual_seed(seed)
        self.settings, self.data, self.seed, self.patience = settings, data, seed, patience
        self.label_names, self.device = label_names, data.device
        self.step = 0
        feature_batches = ImageBatches(data, FEATURE_BATCH_SIZE, seed)
        self.features = FeatureNetwork(settings, feature_batches, data.device)
        self.networks = create_networks(settings, data, self.features, seed)
        self.early_stopping = EarlyStopping()
        # Slope and intercept that convert critic scores to probabilities (models.metrics.critic).
        self.calibration: Sequence[float] | None = None
        self._monitor = CoverageMonitor(self.networks, self.features, data, seed)
        self._progress = 0.0
        self._in_main_phase = False
        self._pseudo_labels: int | None = None  # their number, until it is reported

    def update_progress(self, used: float) -> float:
        progress = self.early_stopping.schedule_progress(used)
        self._progress = progress if progress < self.networks.training_fraction else 1.0
        return self._progress

    def current_phase(self) -> training_loop.Phase:
        if self.features.frozen is None and self._progress < self.settings.feature_budget_fraction:
            return self.features
        if not self._in_main_phase:
            self.start_main_phase()
        return self.networks

    def start_main_phase(self) -> None:
        """Freeze the features, unless they are frozen, and assign pseudo-labels."""
        self._in_main_phase = True
        if self.features.frozen is None:
            self.features.freeze()
            self.networks.prepare()
        if len(self.data.unlabeled):
            self._pseudo_labels = assign_pseudo_labels(self.features, self.data, self.seed)
            batches = self.networks.batches
            self.networks.batches = ImageBatches(
                self.data, batches.size, self.seed, batches.noise_size, batches.uniforms_size
            )

    def report(self, losses: dict[str, Tensor], callbacks: TrainingCallbacks) -> None:
        if self._pseudo_labels is not None:
            callbacks.report(self.step, {"pseudo_labels": self._pseudo_labels})
            self._pseudo_labels = None
        is_due = self.early_stopping.should_evaluate(self._progress)
        if self.step % self.settings.log_interval == 0:
            callbacks.report(self.step, check_finite(self.step, losses) | self.evaluate_critic())
        elif is_due:
            check_finite(self.step, losses)  # the coverage of unusable weights means nothing
        if is_due and (metrics := self._monitor.evaluate()):
            callbacks.report(self.step, metrics)
            coverage = metrics["coverage"]
            if self.early_stopping.update(self.step, self._progress, coverage, self.patience):
                callbacks.save(self.step, self.pack(self.early_stopping.best_saved_coverage))

    def finish(self, callbacks: TrainingCallbacks) -> None:
        self.networks.finalize()
        callbacks.preview(self.step, self.render_preview())
        metrics = self._monitor.evaluate() | self.evaluate_critic()
        if metrics:
            callbacks.report(self.step, metrics)
        callbacks.save(self.step, self.pack(metrics.get("coverage")))

    @torch.no_grad()
    def evaluate_critic(self) -> dict[str, float]:
        """Return the critic's accuracy, and calibrate its scores.

        The accuracy is measured on held-out real images and as many new fakes of the same labels.
        The result is empty if there is no critic, before the features are frozen, and with fewer
        than 4 held-out images.
        """
        networks, holdout = self.networks, self.data.holdout
        if len(holdout) < 4 or self.features.frozen is None or networks.is_generator_only:
            return {}
        # A separate generator: evaluation must not change the random numbers of training.
        rng = np.random.default_rng((self.seed, self.step, 1))
        index = rng.choice(holdout, min(CRITIC_EVAL_IMAGES, len(holdout)), replace=False)
        real, y = self.data.batch(index)
        generator = torch.Generator().manual_seed(self.seed + self.step)
        noise = torch.randn(len(y), networks.noise_size, generator=generator).to(self.device)
        fake = apply_in_parts(networks.ema_generator(), noise, y, device=self.device)
        real_scores = apply_in_parts(networks.D, real, y, device=self.device)
        fake_scores = apply_in_parts(networks.D, fake, y, device=self.device)
        self.calibration = calibration(real_scores, fake_scores)
        return critic_accuracy(real_scores, fake_scores).to_metrics()

    @torch.no_grad()
    def render_preview(self) -> NDArray[np.uint8]:
        """Draw a sheet with one row per label. All rows and steps use the same noise."""
        labels, noise_size = min(PREVIEW_ROWS, self.settings.classes), self.networks.noise_size
        generator = torch.Generator().manual_seed(self.seed)
        if labels == 1:
            noise = torch.randn(PREVIEW_COLUMNS**2, noise_size, generator=generator)
            y = torch.zeros(len(noise), dtype=torch.long)
        else:
            row = torch.randn(PREVIEW_COLUMNS, noise_size, generator=generator)
            noise = row.repeat(labels, 1)
            y = torch.arange(labels).repeat_interleave(PREVIEW_COLUMNS)
        images = apply_in_parts(
            self.networks.ema_generator(),
            noise.to(self.device),
            y.to(self.device),
            device=self.device,
        )
        rows = np.array_split(to_pixels(images), labels)
        captions = self.label_names or [""] * labels
        sections = [Section(captions[label], pixels) for label, pixels in enumerate(rows)]
        return draw_sheet(sections, PREVIEW_COLUMNS, max_side=MAX_PREVIEW_SIDE)

    def pack(self, score: float | None = None) -> PackedCheckpoint:
        networks: dict[str, nn.Module] = self.networks.sampling_networks()
        parameters = count_parameters(networks["generator"])
        if self.features.frozen is not None and self.features.predicts_labels:
            networks["classifier"] = self.features.classifier
        if self.calibration is not None:
            networks["critic"] = self.networks.D
        model = pack_model(
            CONTENT,
            networks,
            step=self.step,
            hyperparameters=self.settings.to_dict(),
            calibration=self.calibration,
        )
        return PackedCheckpoint(pack_state(CONTENT, self.resumable()), model, parameters, score)

    def resumable(self) -> dict[str, Resumable]:
        return {"run": self, "features": self.features, **self.networks.resumable()}

    def load(self, path: Path) -> None:
        """Restore a saved training state.

        Raises:
            UnreadableCheckpoint: The file is not a checkpoint of the current format.
        """
        load_state(path, self.resumable())
        if self.features.is_frozen:
            self.features.freeze()

    def load_pretrained(self, init_from: InitFrom) -> None:
        """Load the networks of another run and start at step 0.

        Raises:
            UnreadableCheckpoint: The file is not a checkpoint of the current format.
        """
        state = read_state(init_from.state)
        self.networks.load_pretrained(state, init_from.label_map)
        if state["features"]["is_frozen"]:
            self.features.load_pretrained(state["features"]["classifier"])


def create_networks(
    settings: ImageSettings, data: LabeledImages, features: FeatureNetwork, seed: int
) -> MainPhase:
    if isinstance(settings, VaeGanSettings):
        return VaeGan(settings, data, features, seed)
    assert isinstance(settings, AdversarialSettings)  # noqa: S101 - the only other class
    return Gan(settings, data, seed)
