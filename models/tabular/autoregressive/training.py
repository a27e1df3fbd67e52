"""Training of the autoregressive model and of its critic.

First the generator maximizes the likelihood of rows until the likelihood of held-out rows stops
improving. Then the critic learns to distinguish generated rows from real ones. The critic's
accuracy on held-out rows is reported, and if it is high enough, samples are filtered by rejection
sampling.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import Resumable
from models.metrics.critic import critic_accuracy
from models.tabular import checkpoint
from models.tabular.autoregressive.label_contrast import LabelContrast
from models.tabular.autoregressive.networks import Generator
from models.tabular.autoregressive.phases import CriticPhase, GeneratorPhase
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.data import MIN_HOLDOUT_ROWS, TokenBatches
from models.tabular.preview import ScatterPreview
from models.tabular.rare_labels import visits_per_epoch
from models.tabular.settings import TableSettings
from models.tabular.tokenized_rows import TokenizedRows
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks, check_finite
from models.training_loop import Phase

# Rejection sampling by the critic accepts at least this fraction of rows with certainty, and every
# row whose odds of being real are at least MAX_ODDS.
ALWAYS_ACCEPTED_FRACTION, MAX_ODDS = 0.2, 4.0


class AutoregressiveTrainer:
    """A run of two phases: first the generator, then the critic (see Trainer)."""

    saved = ("step", "always_accept_score")
    scatter: ScatterPreview

    def __init__(
        self, rows: TokenizedRows, settings: TableSettings, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.settings, self.seed = rows.tokenizer, settings, seed
        self.step, self._progress, self._in_critic_phase = 0, 0.0, False
        tokenizer, self.device, self.holdout = rows.tokenizer, device, rows.holdout.to(device)
        self._batches = TokenBatches(rows.train, settings.batch_size, seed, device=device)
        repeating_batches, contrast = self._batches, None
        if tokenizer.has_single_token_label:
            labels = rows.train[0]
            visits = visits_per_epoch(labels.numpy())
            repeating_batches = TokenBatches(rows.train, settings.batch_size, seed, visits, device)
            num_labels = tokenizer.step_sizes[0]
            if num_labels > 1 and settings.label_contrast:
                contrast = LabelContrast.fit(labels, torch.from_numpy(visits), num_labels, device)
        self.generator = GeneratorPhase(
            tokenizer, settings, self._batches, repeating_batches, device, contrast
        )
        self.critic = CriticPhase(tokenizer, settings, self._batches, device)
        # Rows with at least this critic score are always accepted; None: no rejection sampling.
        self.always_accept_score: float | None = None

    def start_from_frequencies(self, tokens: Tensor) -> None:
        """Set the biases to the token frequencies of (S, N) tokens."""
        steps = zip(tokens, self.tokenizer.step_sizes, strict=True)
        counts = [torch.bincount(row, minlength=size) for row, size in steps]
        self.generator.start_from_counts(self.generator.lookups.balanced_counts(tokens, counts))

    def update_progress(self, used: float) -> float:
        self._progress = 1.0 if used >= self.critic.ends_at else used
        return self._progress

    def current_phase(self) -> Phase:
        if self.critic.starts_at is None:
            return self.generator
        if not self._in_critic_phase:
            self._in_critic_phase = True
            self.critic.sampler = self._sampler(self.generator.best)
        return self.critic

    def report(self, losses: dict[str, Tensor], callbacks: TrainingCallbacks) -> None:
        is_due = self.step % self.settings.eval_interval == 0
        if self.critic.starts_at is None:
            is_complete = self.generator.decay_progress >= 1
            if is_due or is_complete:
                losses |= self.generator.update_best(self.holdout)
            if is_complete:
                self.critic.starts_at = self._progress
        if is_due:  # reading a loss waits for the device
            callbacks.report(self.step, check_finite(self.step, losses))

    def finish(self, callbacks: TrainingCallbacks) -> None:
        if self.critic.starts_at is None:
            self.generator.update_best(self.holdout)
        callbacks.report(self.step, self.evaluate_critic())
        callbacks.preview(self.step, self._render(self.generator.best))
        callbacks.save(self.step, self.pack())

    def render_preview(self) -> NDArray[np.uint8]:
        return self._render(self.generator.average.network)

    def _render(self, network: Generator) -> NDArray[np.uint8]:
        sampler = self._sampler(network, self.tokenizer.num_decode_uniforms)
        return self.scatter.render(sampler, self.seed)

    def _sampler(
        self, network: Generator, num_decode_uniforms: int | None = None
    ) -> AutoregressiveSampler:
        tokenizer = self.tokenizer
        if num_decode_uniforms is None:
            num_decode_uniforms = tokenizer.sampled_columns.num_uniforms
        return AutoregressiveSampler(
            network,
            tokenizer.sub_bin_steps,
            num_decode_uniforms,
            tokenizer.exclusions,
            tokenizer.joint_masks,
            tokenizer.sampled_columns,
        )

    @torch.no_grad()
    def evaluate_critic(self) -> dict[str, float]:
        """Return how well the critic separates held-out rows from as many generated ones.

        Also decide whether samples are filtered by rejection sampling.
        """
        if self.holdout.shape[1] < MIN_HOLDOUT_ROWS:
            return {}
        generator = torch.Generator().manual_seed(self.seed + self.step)
        sampler = self._sampler(self.generator.best)
        shape = sampler.num_uniforms, self.holdout.shape[1]
        u = torch.rand(shape, generator=generator).to(self.device)
        D = self.critic.D.eval()
        scores = D(sampler.sample_tokens(u, {}))
        accuracy = critic_accuracy(D(self.holdout), scores)
        # Standard deviation of the AUC of a critic that guesses.
        chance_deviation = math.sqrt(1 / (6 * self.holdout.shape[1]))
        uses_rejection = accuracy.auc > max(
            self.settings.rejection_min_auc, 0.5 + 3 * chance_deviation
        )
        always_accept_score = min(
            float(scores.quantile(1 - ALWAYS_ACCEPTED_FRACTION)), math.log(MAX_ODDS)
        )
        self.always_accept_score = always_accept_score if uses_rejection else None
        return accuracy.to_metrics()

    def resumable(self) -> dict[str, Resumable]:
        return {"run": self, "generator": self.generator, "critic": self.critic}

    def pack(self) -> PackedCheckpoint:
        networks: dict[str, nn.Module] = {"generator": self.generator.best}
        header = {}
        if self.always_accept_score is not None:
            networks["critic"] = self.critic.D
            header["always_accept_score"] = self.always_accept_score
        return checkpoint.pack(
            self.tokenizer, self.settings, self.step, self.resumable(), networks, **header
        )
