"""Phases of the training of an autoregressive model: the generator, then its critic."""

import copy
import math
from collections.abc import Hashable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.autocast import bf16_autocast
from models.microbatch import Batch, Part, Position
from models.placement import upload
from models.tabular.autoregressive.exact_lookups import CombinationPenalties
from models.tabular.autoregressive.label_contrast import LabelContrast, add_copies
from models.tabular.autoregressive.networks import Generator, build_critic, build_generator
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.data import MIN_HOLDOUT_ROWS, TokenBatches
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.weight_average import WeightAverage

# Later weights replace the best ones unless their held-out loss is higher by more than this share.
MAX_LOSS_INCREASE = 0.01


class GeneratorPhase:
    """Training of the generator by maximum likelihood."""

    saved = (
        *("G", "average", "best", "optimizer", "microbatch_size"),
        *("best_holdout_loss", "evals_without_gain", "lr_decay_start"),
    )

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: TableSettings,
        batches: TokenBatches,
        repeating_batches: TokenBatches,
        device: torch.device,
        contrast: LabelContrast | None = None,
    ) -> None:
        self.settings, self.contrast = settings, contrast
        self.G = build_generator(tokenizer, settings).to(device)
        self.average = WeightAverage(self.G, settings.ema_decay)
        self.best = copy.deepcopy(self.average.network)  # see update_best
        self.optimizer = generator_optimizer(self.G, settings)
        self.optimizers = (self.optimizer,)
        self.lookups = CombinationPenalties(
            tokenizer.exclusions.exact_lookups, tokenizer.step_sizes, device
        )
        self.batches = OrderedBatches(
            batches, repeating_batches, tokenizer, settings.random_order_prob
        )
        self.microbatch_size: int | None = batches.batch_size
        self.best_holdout_loss: float | None = None
        self.evals_without_gain = 0
        self.lr_decay_start: float | None = None  # progress
        self.decay_progress = 0.0

    def start_from_counts(self, token_counts: Sequence[Tensor]) -> None:
        self.G.heads.init_from_counts(token_counts)
        for network in (self.average, self.best):
            network.load_state_dict(self.G.state_dict())

    def begin_step(self, position: Position) -> Hashable:  # noqa: ARG002 - see Phase
        """Return the only kind of steps; a batch with an order has one more tensor."""
        return "generator"

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Minimize the negative log-likelihood of real rows, and the contrast of their labels.

        The first step of a row that is repeated because of its label is ignored.
        """
        tokens, is_repeated, other_labels, *order = part.batch
        contrast = None if order else self.contrast
        rows = tokens.T if contrast is None else add_copies(tokens.T, other_labels)
        with bf16_autocast(tokens.device):
            given = (order[0][0],) if order else (None, self.lookups.of_all(rows))
            step_losses = self.G(rows, *given)
        of_rows = step_losses[:, : len(tokens)]
        likelihood = (of_rows.sum(0) - of_rows[0] * is_repeated).mean()
        losses = {"generator_loss": likelihood.detach()}
        loss = likelihood
        if contrast is not None:
            label_loss = contrast.losses(step_losses, tokens[:, 0], other_labels).mean()
            losses["label_loss"] = label_loss.detach()
            loss = likelihood + self.settings.label_contrast * label_loss
        part.backward(loss)
        return losses

    def apply_gradients(self, position: Position) -> None:
        self.decay_progress = self._update_decay(position.progress)
        warmup = min(1.0, (position.step + 1) / self.settings.warmup_steps)
        decay = max(1 - self.decay_progress, 1e-3)
        set_lr(self.optimizer, self.settings.generator_lr * min(warmup, decay))
        self.optimizer.step()

    def update_average(self, step: int) -> None:
        self.average.update(step + 1)

    def _update_decay(self, progress: float) -> float:
        """Return the decay of the learning rate, from 0 (not started) to 1 (finished).

        The decay starts when held-out rows stop improving, and at the latest in time to finish
        within the generator's part of the budget.
        """
        settings = self.settings
        latest_start = (1 - settings.critic_budget_fraction) * (1 - settings.lr_decay_fraction)
        if self.lr_decay_start is None and (
            self.evals_without_gain >= settings.patience or progress >= latest_start
        ):
            self.lr_decay_start = min(progress, latest_start)
        if self.lr_decay_start is None:
            return 0.0
        length = self.lr_decay_start * settings.lr_decay_fraction / (1 - settings.lr_decay_fraction)
        return (progress - self.lr_decay_start) / max(length, 1e-9)

    @torch.no_grad()
    def update_best(self, holdout: Tensor) -> dict[str, Tensor]:
        """Evaluate the averaged weights on held-out rows, and update `best`.

        Of weights with nearly the lowest loss, the latest are kept: they had a lower learning rate,
        and their samples are closer to real rows. With fewer than MIN_HOLDOUT_ROWS, copy them
        without an evaluation.
        """
        average = self.average.network
        if holdout.shape[1] < MIN_HOLDOUT_ROWS:
            self.best.load_state_dict(average.state_dict())
            return {}
        losses = [
            average(part, None, self.lookups.of_all(part)).sum()
            for part in holdout.split(1024, dim=1)
        ]
        loss = sum(losses, start=torch.zeros(())) / holdout.shape[1]
        previous_best = math.inf if self.best_holdout_loss is None else self.best_holdout_loss
        has_improved = previous_best - float(loss) > self.settings.min_delta * abs(float(loss))
        self.evals_without_gain = 0 if has_improved else self.evals_without_gain + 1
        self.best_holdout_loss = min(previous_best, float(loss))
        if float(loss) <= self.best_holdout_loss * (1 + MAX_LOSS_INCREASE):
            self.best.load_state_dict(average.state_dict())
        return {"holdout_loss": loss}


class CriticPhase:
    """Training of the critic on real and on generated rows."""

    saved = ("D", "optimizer", "microbatch_size", "starts_at")
    sampler: AutoregressiveSampler  # of the complete generator

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: TableSettings,
        batches: TokenBatches,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.batches = CriticBatches(batches, tokenizer.sampled_columns.num_uniforms)
        self.D = build_critic(tokenizer, settings).to(device)
        self.optimizer = torch.optim.AdamW(
            self.D.parameters(), settings.critic_lr, weight_decay=0.05, fused=True
        )
        self.optimizers = (self.optimizer,)
        self.microbatch_size: int | None = batches.batch_size
        self.starts_at: float | None = None  # progress; None: the generator is not complete

    @property
    def ends_at(self) -> float:
        if self.starts_at is None:
            return 1.0
        return self.starts_at / (1 - self.settings.critic_budget_fraction)

    def begin_step(self, position: Position) -> Hashable | None:  # noqa: ARG002 - see Phase
        """Return the only kind of steps, or None: tokens computed by the CPU are not recorded."""
        return None if self.sampler.computes_tokens else "critic"

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Minimize the logistic loss of real against generated rows.

            L_D = E[softplus(-D(real))] + E[softplus(D(fake))]

        The optimal D is the log-odds of being real (Goodfellow et al. 2014, 1406.2661).
        """
        real, u = part.batch
        fake = self.sampler.sample_tokens(u.T, {})
        loss = F.softplus(-self.D(real.T)).mean() + F.softplus(self.D(fake)).mean()
        part.backward(loss)
        return {"critic_loss": loss.detach()}

    def apply_gradients(self, position: Position) -> None:
        assert self.starts_at is not None  # noqa: S101 - the phase has started
        phase = (position.progress - self.starts_at) / (self.ends_at - self.starts_at)
        set_lr(self.optimizer, self.settings.critic_lr * cosine_decay(phase))
        self.optimizer.step()

    def update_average(self, step: int) -> None:
        """Do nothing: the critic has no averaged weights."""


class OrderedBatches:
    """Batches of token rows, some of them with a random order of the columns.

    Rows of rare labels are repeated only in batches that begin with the label. Otherwise, columns
    before the label would be learned from more rows with rare labels than there are.
    """

    def __init__(
        self,
        batches: TokenBatches,
        repeating_batches: TokenBatches,
        tokenizer: Tokenizer,
        random_order_prob: float,
    ) -> None:
        self._batches, self._repeating_batches = batches, repeating_batches
        self._column_slices = tokenizer.column_slices
        self._num_labels = tokenizer.step_sizes[0]
        self._random_order_prob = random_order_prob

    def batch_at(self, step: int) -> Batch:
        """Return (B, S) tokens, the (B,) mask of repeated rows, (B,) other labels and the order.

        The order is left out if it is the default one, and else (B, S) copies of the steps' ranks.
        """
        has_default_order = float(torch.rand(())) >= self._random_order_prob
        batches = self._repeating_batches if has_default_order else self._batches
        tokens, is_repeated = batches.batch_with_repeats_at(step)
        shifts = torch.randint(1, max(self._num_labels, 2), is_repeated.shape)
        other_labels = (tokens[:, 0] + upload(shifts, tokens.device)) % self._num_labels
        if has_default_order:
            return tokens, is_repeated, other_labels
        order = upload(random_order(self._column_slices), tokens.device)
        return tokens, is_repeated, other_labels, order.expand(len(tokens), -1)


class CriticBatches:
    """Batches of real rows, with the uniforms from which as many rows are generated.

    The rows are generated in the step itself, so that a CUDA graph of it includes them.
    """

    def __init__(self, batches: TokenBatches, num_decode_uniforms: int) -> None:
        self._batches, self._num_decode_uniforms = batches, num_decode_uniforms

    def batch_at(self, step: int) -> Batch:
        """Return (B, S) tokens and (B, S + num_decode_uniforms) uniforms."""
        real = self._batches.batch_at(step)
        num_uniforms = real.shape[1] + self._num_decode_uniforms
        return real, upload(torch.rand(num_uniforms, len(real)), real.device).T


def random_order(column_slices: Sequence[slice]) -> Tensor:
    """Return the (S,) rank of each step in a random order of the columns.

    The steps of a column stay together.
    """
    steps = torch.arange(column_slices[-1].stop)
    columns = torch.randperm(len(column_slices))
    return torch.cat([steps[column_slices[i]] for i in columns]).argsort()


def generator_optimizer(network: Generator, settings: TableSettings) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        network.parameters(),
        settings.generator_lr,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def cosine_decay(progress: float) -> float:
    """Return a factor that falls from 1 to 0.001 (Loshchilov & Hutter 2017, 1608.03983)."""
    return max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-3)
