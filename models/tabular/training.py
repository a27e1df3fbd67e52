"""The training loop of a generator of table rows, and of the critic that judges it.

The generator learns the likelihood of rows, column by column, until rows that it never saw become
no likelier. Then the critic learns to tell its rows from real ones; its verdict on held-out rows
is reported, and where it can tell them apart, samples are chosen by it.
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

# Of rows chosen by the critic: the share that is kept for certain, at least, and how much likelier
# to be real than to be made the others of them are.
ALWAYS_ACCEPTED_FRACTION, MAX_ODDS = 0.2, 4.0
# Products of matrices in bfloat16, where the processor has them: a third of the time.
USE_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()


class AutoregressiveTrainer:
    """Everything that has state and must survive a restart."""

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
        self.microbatch_size = settings.batch_size  # rows whose gradients fit into memory together
        self.best_holdout_loss: float | None = None  # loss of held-out rows
        self.evals_without_gain = 0  # at held-out rows since they last gained enough
        # The progress at which the generator's rate began to fall, and at which it was done.
        self.lr_decay_start: float | None = None
        self.generator_done_at: float | None = None
        # From which of the critic's scores on every row is kept; None: samples are not chosen.
        self.always_accept_score: float | None = None
        self.secret = 0  # of a run with differential privacy: what its noise comes from

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
        )
        return {name: getattr(self, name) for name in (*names, "secret")}

    def pack_state(self) -> bytes:
        tree = {name: dict(part.state_dict()) for name, part in self.modules().items()}
        tensors, rest = flatten(tree, "state")
        header = {"modality": "tabular.state", "scalars": self.scalars(), "tree": rest}
        return self._packed(tensors, header)

    def load_state(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, part in self.modules().items():
            part.load_state_dict(tree[name])
        for name, number in header["scalars"].items():
            setattr(self, name, number)

    def pack_model(self) -> bytes:
        config = self.settings.to_dict()
        header = {"modality": "tabular", "step": self.step, "hyperparameters": config}
        tensors = {f"generator.{n}": t for n, t in self.best.state_dict().items()}
        if self.always_accept_score is not None:
            header["always_accept_score"] = self.always_accept_score
            tensors |= {f"critic.{n}": t for n, t in self.D.state_dict().items()}
        return self._packed(tensors, header)

    def _packed(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> bytes:
        about, arrays = self.tokenizer.to_tensors()
        return pack(tensors | arrays, {**header, "tokenizer": about})

    def pack(self) -> PackedCheckpoint:
        parameters = sum(weight.numel() for weight in self.best.parameters())
        return PackedCheckpoint(self.pack_state(), self.pack_model(), parameters)

    def token_sampler(self, network: Generator) -> AutoregressiveSampler:
        return AutoregressiveSampler(
            network, self.tokenizer.sub_bin_steps, self.tokenizer.num_decode_uniforms
        )

    def update_ema(self) -> None:
        """Short memory at first, then `average`."""
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
    """Train until `run.progress` is 1, or nothing is left to learn; goes on from `state` if there
    is one.

    Every step's randomness comes from (seed, step): a resumed run equals an unbroken one. Raises
    UnfitColumn, naming the column.
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
    """The generator first, then the critic."""
    tokenizer = fit_or_load_tokenizer(rows, settings, seed, state)
    trainer = AutoregressiveTrainer(tokenizer, settings, seed)
    tokens = torch.from_numpy(tokenizer.encode(rows.take(rows.train), seed))
    holdout = torch.from_numpy(tokenizer.encode(rows.take(rows.holdout[:MAX_HOLDOUT_ROWS]), seed))
    batches = TokenBatches(tokens, settings.batch_size, seed)
    initialize(trainer, tokens, state)
    made: AutoregressiveSampler | None = None
    picture = ScatterPreview.fit(rows, tokenizer, settings.min_value_count)

    while (progress := callbacks.progress(trainer.step)) < 1:
        if callbacks.should_preview(trainer.step):
            callbacks.preview(
                trainer.step, picture.render(trainer.token_sampler(trainer.ema), seed)
            )
        if callbacks.should_checkpoint(trainer.step):
            callbacks.save(trainer.step, trainer.pack())
        seeding.seed_step(seed, trainer.step)
        real = batches.batch_at(trainer.step)
        look = (trainer.step + 1) % settings.eval_interval == 0

        if trainer.generator_done_at is None:
            share = lr_decay_progress(trainer, progress)
            logged = generator_step(trainer, real, share, callbacks)
            if look or share >= 1:
                logged |= update_best(trainer, holdout)
            if share >= 1:
                trainer.generator_done_at = progress
        else:
            until = trainer.generator_done_at / (1 - settings.critic_budget_fraction)
            if progress >= until:
                break
            made = made or AutoregressiveSampler(trainer.best, tokenizer.sub_bin_steps)
            share = (progress - trainer.generator_done_at) / (until - trainer.generator_done_at)
            fake = made.sample_tokens(torch.rand(real.shape), {})
            logged = critic_step(trainer, real, fake, share, callbacks)

        numbers = check_finite(trainer.step, logged)
        if look:
            callbacks.report(trainer.step, numbers)

    if trainer.generator_done_at is None:
        update_best(trainer, holdout)
    callbacks.report(trainer.step, evaluate_critic(trainer, holdout, seed))
    callbacks.preview(trainer.step, picture.render(trainer.token_sampler(trainer.best), seed))
    callbacks.save(trainer.step, trainer.pack())


def lr_decay_progress(trainer: AutoregressiveTrainer, progress: float) -> float:
    """How far the generator's rate has fallen, from 0 to 1. It begins to when held-out rows gain
    little, and in any case in time for the end of the generator's share of the budget."""
    settings = trainer.settings
    latest = (1 - settings.critic_budget_fraction) * (1 - settings.lr_decay_fraction)
    if trainer.lr_decay_start is None and (
        trainer.evals_without_gain >= settings.patience or progress >= latest
    ):
        trainer.lr_decay_start = min(progress, latest)
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
    """Every token of a real row likelier, given those before."""

    order = (
        random_order(trainer)
        if float(torch.rand(())) < trainer.settings.random_order_prob
        else None
    )

    def loss_of(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=USE_BFLOAT16):
            return trainer.G.loss(rows, order)

    warm = min(1.0, (trainer.step + 1) / trainer.settings.warmup_steps)
    set_lr(trainer.opt_G, trainer.settings.generator_lr * min(warm, max(1 - decay_progress, 1e-3)))
    trainer.G.train()
    loss = backward_in_microbatches(trainer, trainer.opt_G, loss_of, (real,), callbacks)
    trainer.opt_G.step()
    trainer.step += 1
    trainer.update_ema()
    return {"generator_loss": loss}


def random_order(trainer: AutoregressiveTrainer) -> Tensor:
    """(S,): when each step is made. Columns come in any order, the steps of each one after the
    other."""
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
    """Real rows above made ones, by the logistic loss: the score is the log of how much likelier a
    row is to be real (Goodfellow et al. 2014, 1406.2661)."""

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
    """The gradients of the mean loss over (S, B) batches, for as many rows at a time as fit into
    memory; the loss."""
    noise = torch.get_rng_state()

    def begin() -> None:
        torch.set_rng_state(noise)
        optimizer.zero_grad(set_to_none=True)

    def add(*parts_and_share: Any) -> dict[str, Tensor]:
        *parts, share = parts_and_share
        loss = loss_of(*(part.T for part in parts))
        (share * loss).backward()
        return {"loss": loss.detach()}

    trainer.microbatch_size = min(trainer.microbatch_size, batches[0].shape[1])
    turned = tuple(batch.T for batch in batches)
    trainer.microbatch_size, logged = accumulate_gradients(
        turned, trainer.microbatch_size, begin, add, trainer.step, callbacks
    )
    return logged["loss"]


def initialize(trainer: AutoregressiveTrainer, tokens: Tensor, state: Path | None) -> None:
    """From the state; or, given (S, N) tokens, knowing how common each one is and no more."""
    if state is not None:
        trainer.load_state(state)
        return
    counted = zip(tokens, trainer.tokenizer.step_sizes, strict=True)
    trainer.G.heads.init_from_counts([torch.bincount(row, minlength=size) for row, size in counted])
    for network in (trainer.ema, trainer.best):
        network.load_state_dict(trainer.G.state_dict())


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def cosine_decay(progress: float) -> float:
    """From 1 to nearly 0 (Loshchilov & Hutter 2017, 1608.03983)."""
    return max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-3)


@torch.no_grad()
def update_best(trainer: AutoregressiveTrainer, holdout: Tensor) -> dict[str, Tensor]:
    """Keep the averaged weights if rows that were never seen are likelier than ever before."""
    if holdout.shape[1] < MIN_HOLDOUT_ROWS:
        trainer.best.load_state_dict(trainer.ema.state_dict())
        return {}
    parts = holdout.split(1024, dim=1)
    loss = (
        sum((trainer.ema.loss(part) * part.shape[1] for part in parts), start=torch.zeros(()))
        / holdout.shape[1]
    )
    before = math.inf if trainer.best_holdout_loss is None else trainer.best_holdout_loss
    gained = before - float(loss) > trainer.settings.min_delta * abs(float(loss))
    trainer.evals_without_gain = 0 if gained else trainer.evals_without_gain + 1
    if float(loss) < before:
        trainer.best_holdout_loss = float(loss)
        trainer.best.load_state_dict(trainer.ema.state_dict())
    return {"holdout_loss": loss}


@torch.no_grad()
def evaluate_critic(trainer: AutoregressiveTrainer, holdout: Tensor, seed: int) -> dict[str, float]:
    """How well the critic tells held-out real rows from as many fresh ones; decides whether samples
    are chosen by it."""
    if holdout.shape[1] < MIN_HOLDOUT_ROWS:
        return {}
    noise = torch.Generator().manual_seed(seed + trainer.step)
    u = torch.rand(holdout.shape, generator=noise)
    fake = AutoregressiveSampler(trainer.best, trainer.tokenizer.sub_bin_steps).sample_tokens(u, {})
    trainer.D.eval()
    scores = trainer.D(fake)
    accuracy = critic_accuracy(trainer.D(holdout), scores)
    deviation = math.sqrt(1 / (6 * holdout.shape[1]))  # of the share of pairs by chance alone
    chosen = accuracy.auc > max(trainer.settings.rejection_min_auc, 0.5 + 3 * deviation)
    always_accept_score = min(
        float(scores.quantile(1 - ALWAYS_ACCEPTED_FRACTION)), math.log(MAX_ODDS)
    )
    trainer.always_accept_score = always_accept_score if chosen else None
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_auc": accuracy.auc,
    }
