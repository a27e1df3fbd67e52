"""Training of the autoregressive model with differential privacy.

Two tables are neighbors if one row of the first contributes nothing in the second; the number of
rows is public. Training reads rows in two ways only: once to count tokens, with Gaussian noise, and
in each step as clipped gradients of randomly sampled rows, with Gaussian noise (DP-SGD, Abadi et
al. 2016, 1607.00133). Everything else is declared by the client or computed from these results.
"""

import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models import training_loop
from models.checkpoint import load_state
from models.microbatch import Batch, Part, Position
from models.placement import CPU, upload
from models.tabular.autoregressive.networks import build_generator
from models.tabular.autoregressive.phases import generator_optimizer, set_lr
from models.tabular.checkpoint import AveragedRun
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy.accountant import NoiseScales, PrivacyBudget
from models.tabular.differential_privacy.domains import ColumnDomain
from models.tabular.differential_privacy.tokenizer import tokenize_rows, tokenizer_for_domains
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.training_callbacks import TrainingCallbacks
from models.training_loop import Phase
from models.weight_average import WeightAverage

MAX_GRADIENT_NORM = 1.0  # L2, of the gradient of one row
MICROBATCH_ROWS = 64  # per-row gradients that are in memory at a time


def train(
    rows: LabeledRows,
    domains: Mapping[str, ColumnDomain],
    settings: TableSettings,
    budget: PrivacyBudget,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
    device: torch.device = CPU,
) -> None:
    """Train for `budget.steps` steps, or resume from `state`.

    `seed` is public: it sets the initial weights. The noise comes from a secret that only the state
    holds. Raises AccountantMissing and PrivacyBudgetUnreachable.
    """
    noise = NoiseScales.for_budget(budget, min(1.0, settings.batch_size / len(rows.train)))
    train_with_noise(
        rows,
        domains,
        settings,
        noise,
        budget.steps,
        callbacks,
        seed=seed,
        state=state,
        device=device,
    )
    callbacks.report(budget.steps, {"epsilon": budget.epsilon})


def train_with_noise(
    rows: LabeledRows,
    domains: Mapping[str, ColumnDomain],
    settings: TableSettings,
    noise: NoiseScales,
    steps: int,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
    device: torch.device = CPU,
) -> None:
    tokenizer = tokenizer_for_domains(domains, rows.target_column)
    tokens = torch.from_numpy(tokenize_rows(rows, domains, tokenizer))
    trainer = PrivateTrainer(tokenizer, settings, noise.gradients, steps, seed, device)
    if state is None:
        trainer.secret = secrets.randbits(128)
        counts = noisy_counts(tokens, tokenizer.step_sizes, noise.counts, trainer.secret)
        trainer.G.heads.init_from_counts(counts)
        trainer.average.load_state_dict(trainer.G.state_dict())
    else:
        load_state(state, trainer.resumable())
    trainer.batches = PoissonBatches(tokens, settings.batch_size, trainer.secret, device)
    training_loop.train(trainer, callbacks)


class PoissonBatches:
    """Poisson samples of the training rows.

    Each row is sampled independently, with probability batch_size / N.
    """

    def __init__(
        self, tokens: Tensor, batch_size: int, secret: int, device: torch.device = CPU
    ) -> None:
        """Store (S, N) tokens on the CPU: the number of rows of a batch depends on the step."""
        self._tokens, self._secret, self._device = tokens, secret, device
        self._probability = batch_size / tokens.shape[1]
        self.rng: np.random.Generator  # of the last batch; its gradients get noise from it, too

    def batch_at(self, step: int) -> Batch:
        """Return the (B, S) tokens of the sampled rows."""
        self.rng = np.random.Generator(
            np.random.Philox(np.random.SeedSequence((self._secret, step)))
        )
        sampled = torch.from_numpy(self.rng.random(self._tokens.shape[1]) < self._probability)
        return (upload(self._tokens[:, sampled].T, self._device),)


class PrivateTrainer(AveragedRun):
    """A run of a single phase: DP-SGD of the generator (see Trainer and Phase).

    It reports neither losses nor previews: epsilon covers the weights only.
    """

    saved = ("G", "average", "optimizer", "step", "secret")
    batches: PoissonBatches

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: TableSettings,
        noise: float,
        steps: int,
        seed: int,
        device: torch.device = CPU,
    ) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.settings, self.seed = tokenizer, settings, seed
        self.noise, self.steps, self.device = noise, steps, device
        self.step = 0
        self.secret = 0  # seed of the samples and of the noise
        self.microbatch_size: int | None = MICROBATCH_ROWS
        # In evaluation mode: dropout would need other random numbers for each row.
        self.G = build_generator(tokenizer, settings).to(device).eval()
        self.average = WeightAverage(self.G, settings.ema_decay)
        self.optimizer = generator_optimizer(self.G, settings)
        self.optimizers = (self.optimizer,)

    def update_progress(self, used: float) -> float:
        return used if self.step < self.steps else 1.0

    def current_phase(self) -> Phase:
        return self

    def begin_step(self, position: Position) -> None:  # noqa: ARG002 - see Phase
        """Return None: the number of rows of a step is random, and must not be stored."""
        return

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Add the gradient of each row, clipped to an L2 norm of MAX_GRADIENT_NORM.

        The norm is that of the gradient of one row over all parameters. A row with a non-finite
        gradient contributes nothing. There is nothing to log.
        """
        (rows,) = part.batch
        if not len(rows):
            return {}
        weights = {name: weight.detach() for name, weight in self.G.named_parameters()}
        row_loss = partial(torch.func.functional_call, self.G, kwargs={"reduction": "sum"})
        row_gradient = torch.func.grad(row_loss)
        gradients = torch.func.vmap(row_gradient, in_dims=(None, 2))(weights, rows.T[:, None])
        squared_norms = sum(
            (g.flatten(1).square().sum(1) for g in gradients.values()),
            torch.zeros((), device=rows.device),
        )
        clip_factor = (MAX_GRADIENT_NORM / squared_norms.sqrt()).clamp(max=1.0)
        is_finite = squared_norms.isfinite()
        clip_factor = clip_factor.masked_fill(~is_finite, 0.0)
        for name, weight in self.G.named_parameters():
            is_excluded = ~is_finite.view(-1, *[1] * weight.ndim)
            finite = gradients[name].masked_fill(is_excluded, 0.0)
            clipped = torch.einsum("b,b...->...", clip_factor, finite)
            weight.grad = clipped if weight.grad is None else weight.grad + clipped
        return {}

    def apply_gradients(self, position: Position) -> None:
        """Add noise to the sum of the gradients, and take an optimizer step."""
        settings = self.settings
        for weight in self.G.parameters():
            gradient_sum = torch.zeros_like(weight) if weight.grad is None else weight.grad
            gaussian = upload(
                torch.from_numpy(self.batches.rng.standard_normal(weight.shape, np.float32)),
                self.device,
            )
            weight.grad = (
                gradient_sum + MAX_GRADIENT_NORM * self.noise * gaussian
            ) / settings.batch_size
        decay = (self.steps - position.step) / (self.steps * settings.lr_decay_fraction)
        warmup = min(1.0, (position.step + 1) / settings.warmup_steps)
        set_lr(self.optimizer, settings.generator_lr * min(warmup, decay))
        self.optimizer.step()

    def render_preview(self) -> None:
        """Return no picture."""

    def report(self, losses: dict[str, Tensor], callbacks: TrainingCallbacks) -> None:
        """Do nothing."""

    def finish(self, callbacks: TrainingCallbacks) -> None:
        callbacks.save(self.step, self.pack())


def noisy_counts(tokens: Tensor, sizes: list[int], noise: float, secret: int) -> list[Tensor]:
    """Return the counts of each step's tokens, of (S, N), with Gaussian noise.

    One row adds 1 to a count in each of S steps, so the L2 sensitivity is sqrt(S).
    """
    rng = np.random.Generator(np.random.Philox(secret))
    scale = noise * len(sizes) ** 0.5
    return [
        (torch.bincount(row, minlength=size) + torch.from_numpy(rng.normal(0, scale, size))).clamp(
            0
        )
        for row, size in zip(tokens, sizes, strict=True)
    ]
