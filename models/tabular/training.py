"""Training loop of the autoregressive model and of its critic.

First the generator maximizes the likelihood of rows until the likelihood of held-out rows stops
improving. Then the critic learns to distinguish generated rows from real ones. The critic's
accuracy on held-out rows is reported, and if it is high enough, samples are filtered by rejection
sampling.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models import seeding
from models.checkpoint import flatten, pack, unflatten, unpack
from models.metrics.critic import critic_accuracy
from models.microbatch import accumulate_gradients
from models.tabular import gan_training
from models.tabular.autoregressive_networks import Generator, build_critic, build_generator
from models.tabular.autoregressive_sampler import AutoregressiveSampler
from models.tabular.data import MAX_HOLDOUT_ROWS, MIN_HOLDOUT_ROWS, LabeledRows, TokenBatches
from models.tabular.prepare import filter_rows, fit_or_load_tokenizer
from models.tabular.preview import ScatterPreview
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks, check_finite

# Rejection sampling by the critic accepts at least this fraction of rows with certainty, and every
# row whose odds of being real are at least MAX_ODDS.
ALWAYS_ACCEPTED_FRACTION, MAX_ODDS = 0.2, 4.0
# Matrix products in bfloat16 take a third of the time on processors that support it.
USE_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()


class AutoregressiveTrainer:
    """The networks, optimizers and counters: all state that a checkpoint restores."""

    def __init__(self, tokenizer: Tokenizer, settings: TableSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.settings = tokenizer, settings
        self.G = build_generator(tokenizer, settings)
        self.D = build_critic(tokenizer, settings)
        self.ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.best = copy.deepcopy(self.ema)
        self.opt_G = torch.optim.AdamW(
            self.G.parameters(),
            settings.generator_lr,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.opt_D = torch.optim.AdamW(
            self.D.parameters(), settings.critic_lr, weight_decay=0.05, fused=True
        )
        self.step = 0
        self.microbatch_size = settings.batch_size  # halved when memory runs out
        self.best_holdout_loss: float | None = None
        self.evals_without_gain = 0
        # Progress at which the generator's learning rate began to decay, and at which it finished.
        self.lr_decay_start: float | None = None
        self.generator_done_at: float | None = None
        # Rows with at least this critic score are always accepted; None: no rejection sampling.
        self.always_accept_score: float | None = None
        self.secret = 0  # seed of the noise of a run with differential privacy

    def modules(self) -> dict[str, Any]:
        names = ("G", "D", "ema", "best", "opt_G", "opt_D")
        return {name: getattr(self, name) for name in names}

    def scalars(self) -> dict[str, Any]:
        names = (
            "step",
            "microbatch_size",
            "best_holdout_loss",
            "evals_without_gain",
            "lr_decay_start",
            "generator_done_at",
            "always_accept_score",
            "secret",
        )
        return {name: getattr(self, name) for name in names}

    def pack_state(self) -> bytes:
        tree = {name: dict(module.state_dict()) for name, module in self.modules().items()}
        tensors, structure = flatten(tree, "state")
        header = {"modality": "tabular.state", "scalars": self.scalars(), "tree": structure}
        return self._pack_with_tokenizer(tensors, header)

    def load_state(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, module in self.modules().items():
            module.load_state_dict(tree[name])
        for name, value in header["scalars"].items():
            setattr(self, name, value)

    def pack_model(self) -> bytes:
        header = {
            "modality": "tabular",
            "step": self.step,
            "hyperparameters": self.settings.to_dict(),
        }
        tensors = {f"generator.{name}": tensor for name, tensor in self.best.state_dict().items()}
        if self.always_accept_score is not None:
            header["always_accept_score"] = self.always_accept_score
            tensors |= {f"critic.{name}": tensor for name, tensor in self.D.state_dict().items()}
        return self._pack_with_tokenizer(tensors, header)

    def _pack_with_tokenizer(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> bytes:
        metadata, arrays = self.tokenizer.to_tensors()
        return pack(tensors | arrays, {**header, "tokenizer": metadata})

    def pack(self) -> PackedCheckpoint:
        parameters = sum(weight.numel() for weight in self.best.parameters())
        return PackedCheckpoint(self.pack_state(), self.pack_model(), parameters)

    def token_sampler(self, network: Generator) -> AutoregressiveSampler:
        return AutoregressiveSampler(
            network, self.tokenizer.sub_bin_steps, self.tokenizer.num_decode_uniforms
        )

    def update_ema(self) -> None:
        """Update the averaged weights.

        The decay starts small, so that early weights are forgotten, and rises to `ema_decay`.
        """
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.G.parameters()), 1 - decay)


def train(
    rows: LabeledRows,
    settings: TableSettings,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
) -> None:
    """Train until `callbacks.progress` is 1 or held-out rows no longer improve.

    Resumes from `state` if given. The randomness of each step comes from (seed, step), so a resumed
    run equals an uninterrupted one. Raises UnsupportedColumn.
    """
    if settings.constraints:
        rows = filter_rows(rows, settings, callbacks)
    loop = gan_training.train if settings.architecture == "gan" else train_autoregressive
    loop(rows, settings, callbacks, seed=seed, state=state)


def train_autoregressive(
    rows: LabeledRows,
    settings: TableSettings,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None,
) -> None:
    """Train the generator, then the critic."""
    tokenizer = fit_or_load_tokenizer(rows, settings, seed, state)
    trainer = AutoregressiveTrainer(tokenizer, settings, seed)
    tokens = torch.from_numpy(tokenizer.encode(rows.take(rows.train), seed))
    holdout = torch.from_numpy(tokenizer.encode(rows.take(rows.holdout[:MAX_HOLDOUT_ROWS]), seed))
    batches = TokenBatches(tokens, settings.batch_size, seed)
    initialize(trainer, tokens, state)
    sampler: AutoregressiveSampler | None = None
    preview = ScatterPreview.fit(rows, tokenizer, settings.min_value_count)

    while (progress := callbacks.progress(trainer.step)) < 1:
        if callbacks.should_preview(trainer.step):
            callbacks.preview(
                trainer.step, preview.render(trainer.token_sampler(trainer.ema), seed)
            )
        if callbacks.should_checkpoint(trainer.step):
            callbacks.save(trainer.step, trainer.pack())
        seeding.seed_step(seed, trainer.step)
        real = batches.batch_at(trainer.step)
        is_eval_step = (trainer.step + 1) % settings.eval_interval == 0

        if trainer.generator_done_at is None:
            phase_progress = lr_decay_progress(trainer, progress)
            step_losses = generator_step(trainer, real, phase_progress, callbacks)
            if is_eval_step or phase_progress >= 1:
                step_losses |= update_best(trainer, holdout)
            if phase_progress >= 1:
                trainer.generator_done_at = progress
        else:
            critic_end = trainer.generator_done_at / (1 - settings.critic_budget_fraction)
            if progress >= critic_end:
                break
            sampler = sampler or AutoregressiveSampler(trainer.best, tokenizer.sub_bin_steps)
            phase_progress = (progress - trainer.generator_done_at) / (
                critic_end - trainer.generator_done_at
            )
            fake = sampler.sample_tokens(torch.rand(real.shape), {})
            step_losses = critic_step(trainer, real, fake, phase_progress, callbacks)

        metrics = check_finite(trainer.step, step_losses)
        if is_eval_step:
            callbacks.report(trainer.step, metrics)

    if trainer.generator_done_at is None:
        update_best(trainer, holdout)
    callbacks.report(trainer.step, evaluate_critic(trainer, holdout, seed))
    callbacks.preview(trainer.step, preview.render(trainer.token_sampler(trainer.best), seed))
    callbacks.save(trainer.step, trainer.pack())


def lr_decay_progress(trainer: AutoregressiveTrainer, progress: float) -> float:
    """Return the decay of the generator's learning rate, from 0 (not started) to 1 (finished).

    The decay starts when held-out rows stop improving, and at the latest in time to finish within
    the generator's part of the budget.
    """
    settings = trainer.settings
    latest_start = (1 - settings.critic_budget_fraction) * (1 - settings.lr_decay_fraction)
    if trainer.lr_decay_start is None and (
        trainer.evals_without_gain >= settings.patience or progress >= latest_start
    ):
        trainer.lr_decay_start = min(progress, latest_start)
    if trainer.lr_decay_start is None:
        return 0.0
    length = trainer.lr_decay_start * settings.lr_decay_fraction / (1 - settings.lr_decay_fraction)
    return (progress - trainer.lr_decay_start) / max(length, 1e-9)


def generator_step(
    trainer: AutoregressiveTrainer,
    real: Tensor,
    decay_progress: float,
    callbacks: TrainingCallbacks,
) -> dict[str, Tensor]:
    """Update the generator: minimize the negative log-likelihood of real rows."""
    order = (
        random_order(trainer)
        if float(torch.rand(())) < trainer.settings.random_order_prob
        else None
    )

    def loss_of(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=USE_BFLOAT16):
            return trainer.G.loss(rows, order)

    warmup = min(1.0, (trainer.step + 1) / trainer.settings.warmup_steps)
    set_lr(
        trainer.opt_G, trainer.settings.generator_lr * min(warmup, max(1 - decay_progress, 1e-3))
    )
    trainer.G.train()
    loss = backward_in_microbatches(trainer, trainer.opt_G, loss_of, (real,), callbacks)
    trainer.opt_G.step()
    trainer.step += 1
    trainer.update_ema()
    return {"generator_loss": loss}


def random_order(trainer: AutoregressiveTrainer) -> Tensor:
    """Return the (S,) rank of each step in a random order of the columns.

    The steps of a column stay together.
    """
    columns = trainer.tokenizer.columns
    names = [columns[i].name for i in torch.randperm(len(columns))]
    return torch.tensor(trainer.tokenizer.steps_in_order(names)).argsort()


def critic_step(
    trainer: AutoregressiveTrainer,
    real: Tensor,
    fake: Tensor,
    progress: float,
    callbacks: TrainingCallbacks,
) -> dict[str, Tensor]:
    """Update the critic with the logistic loss of real against generated rows.

        L_D = E[softplus(-D(real))] + E[softplus(D(fake))]

    The optimal D is the log-odds of being real (Goodfellow et al. 2014, 1406.2661).
    """

    def loss_of(real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-trainer.D(real)).mean() + F.softplus(trainer.D(fake)).mean()

    set_lr(trainer.opt_D, trainer.settings.critic_lr * cosine_decay(progress))
    trainer.D.train()
    loss = backward_in_microbatches(trainer, trainer.opt_D, loss_of, (real, fake), callbacks)
    trainer.opt_D.step()
    trainer.step += 1
    return {"critic_loss": loss}


def backward_in_microbatches(
    trainer: AutoregressiveTrainer,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[..., Tensor],
    batches: tuple[Tensor, ...],
    callbacks: TrainingCallbacks,
) -> Tensor:
    """Compute gradients of the mean loss over (S, B) batches, and return the loss.

    The batches are split into parts that fit into memory.
    """
    rng_state = torch.get_rng_state()

    def reset() -> None:
        torch.set_rng_state(rng_state)
        optimizer.zero_grad(set_to_none=True)

    def backward(*parts_and_share: Any) -> dict[str, Tensor]:
        *parts, share = parts_and_share
        loss = loss_of(*(part.T for part in parts))
        (share * loss).backward()
        return {"loss": loss.detach()}

    trainer.microbatch_size = min(trainer.microbatch_size, batches[0].shape[1])
    row_batches = tuple(batch.T for batch in batches)
    trainer.microbatch_size, logged = accumulate_gradients(
        row_batches, trainer.microbatch_size, reset, backward, trainer.step, callbacks
    )
    return logged["loss"]


def initialize(trainer: AutoregressiveTrainer, tokens: Tensor, state: Path | None) -> None:
    """Load `state`, or set the biases to the token frequencies of (S, N) tokens."""
    if state is not None:
        trainer.load_state(state)
        return
    steps = zip(tokens, trainer.tokenizer.step_sizes, strict=True)
    trainer.G.heads.init_from_counts([torch.bincount(row, minlength=size) for row, size in steps])
    for network in (trainer.ema, trainer.best):
        network.load_state_dict(trainer.G.state_dict())


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def cosine_decay(progress: float) -> float:
    """Return a factor that falls from 1 to 0.001 (Loshchilov & Hutter 2017, 1608.03983)."""
    return max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-3)


@torch.no_grad()
def update_best(trainer: AutoregressiveTrainer, holdout: Tensor) -> dict[str, Tensor]:
    """Evaluate the averaged weights on held-out rows, and copy them to `best` if they improve.

    With fewer than MIN_HOLDOUT_ROWS, copy them without an evaluation.
    """
    if holdout.shape[1] < MIN_HOLDOUT_ROWS:
        trainer.best.load_state_dict(trainer.ema.state_dict())
        return {}
    parts = holdout.split(1024, dim=1)
    loss = (
        sum((trainer.ema.loss(part) * part.shape[1] for part in parts), start=torch.zeros(()))
        / holdout.shape[1]
    )
    previous_best = math.inf if trainer.best_holdout_loss is None else trainer.best_holdout_loss
    has_improved = previous_best - float(loss) > trainer.settings.min_delta * abs(float(loss))
    trainer.evals_without_gain = 0 if has_improved else trainer.evals_without_gain + 1
    if float(loss) < previous_best:
        trainer.best_holdout_loss = float(loss)
        trainer.best.load_state_dict(trainer.ema.state_dict())
    return {"holdout_loss": loss}


@torch.no_grad()
def evaluate_critic(trainer: AutoregressiveTrainer, holdout: Tensor, seed: int) -> dict[str, float]:
    """Return how well the critic separates held-out rows from as many generated ones.

    Also decides whether samples are filtered by rejection sampling.
    """
    if holdout.shape[1] < MIN_HOLDOUT_ROWS:
        return {}
    generator = torch.Generator().manual_seed(seed + trainer.step)
    u = torch.rand(holdout.shape, generator=generator)
    fake = AutoregressiveSampler(trainer.best, trainer.tokenizer.sub_bin_steps).sample_tokens(u, {})
    trainer.D.eval()
    scores = trainer.D(fake)
    accuracy = critic_accuracy(trainer.D(holdout), scores)
    # Standard deviation of the AUC of a critic that guesses.
    chance_deviation = math.sqrt(1 / (6 * holdout.shape[1]))
    uses_rejection = accuracy.auc > max(
        trainer.settings.rejection_min_auc, 0.5 + 3 * chance_deviation
    )
    always_accept_score = min(
        float(scores.quantile(1 - ALWAYS_ACCEPTED_FRACTION)), math.log(MAX_ODDS)
    )
    trainer.always_accept_score = always_accept_score if uses_rejection else None
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_auc": accuracy.auc,
    }
