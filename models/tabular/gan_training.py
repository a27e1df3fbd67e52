"""Training loop of the conditional GAN over mixed columns.

R3GAN: relativistic pairing loss with gradient penalties on real and on fake rows (Huang et al.
2024, 2501.05441).
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import losses, seeding
from models.checkpoint import flatten, pack, unflatten, unpack
from models.metrics.critic import critic_accuracy
from models.tabular.data import MAX_HOLDOUT_ROWS, MIN_HOLDOUT_ROWS, LabeledRows, TokenBatches
from models.tabular.gan_networks import Critic, GanSampler, Generator, RowFeaturizer
from models.tabular.prepare import fit_or_load_tokenizer
from models.tabular.preview import ScatterPreview
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks, check_finite


class GanTrainer:
    """The networks, optimizers and step counter: all state that a checkpoint restores."""

    def __init__(self, tokenizer: Tokenizer, settings: TableSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.settings = tokenizer, settings
        self.featurizer = RowFeaturizer(tokenizer)
        self.G = Generator(self.featurizer, settings)
        self.D = Critic(self.featurizer, settings)
        self.ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        betas = (0.0, settings.beta2)
        self.opt_G = torch.optim.Adam(
            self.G.parameters(), settings.generator_lr, betas=betas, fused=True
        )
        self.opt_D = torch.optim.Adam(
            self.D.parameters(), settings.critic_lr, betas=betas, fused=True
        )
        self.step = 0

    def modules(self) -> dict[str, Any]:
        names = ("G", "D", "ema", "opt_G", "opt_D")
        return {name: getattr(self, name) for name in names}

    def pack(self) -> PackedCheckpoint:
        metadata, arrays = self.tokenizer.to_tensors()
        tree = {name: dict(module.state_dict()) for name, module in self.modules().items()}
        tensors, structure = flatten(tree, "state")
        header = {
            "modality": "tabular.state",
            "step": self.step,
            "tree": structure,
            "tokenizer": metadata,
        }
        state = pack(tensors | arrays, header)
        weights = {f"generator.{name}": tensor for name, tensor in self.ema.state_dict().items()}
        header = {
            "modality": "tabular",
            "step": self.step,
            "hyperparameters": self.settings.to_dict(),
            "tokenizer": metadata,
        }
        parameters = sum(weight.numel() for weight in self.ema.parameters())
        return PackedCheckpoint(state, pack(weights | arrays, header), parameters)

    def load_state(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, module in self.modules().items():
            module.load_state_dict(tree[name])
        self.step = header["step"]

    def update_ema(self) -> None:
        """Update the averaged weights.

        The decay starts small, so that early weights are forgotten, and rises to `ema_decay`.
        """
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.G.parameters()), 1 - decay)

    def label_tokens(self, tokens: Tensor) -> Tensor:
        """Return the (B,) labels of (S, B) tokens; zeros without a label."""
        return tokens[0] if self.featurizer.num_labels else torch.zeros_like(tokens[0])

    def features(self, tokens: Tensor, generator: torch.Generator | None = None) -> Tensor:
        u = torch.rand(self.featurizer.numbers.shape[1], tokens.shape[1], generator=generator)
        return self.featurizer.from_tokens(tokens, u)

    def generate(
        self, network: Generator, label: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return (B, X) features of fake rows with these labels."""
        z = torch.randn(len(label), self.settings.latent_dim, generator=generator)
        u = torch.rand(len(label), len(self.featurizer.steps), generator=generator)
        return self.featurizer.sample_choices(network(z, label), u)[0]


def train(
    rows: LabeledRows,
    settings: TableSettings,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None,
) -> None:
    """Train from scratch or from `state`; see `models.tabular.training.train`."""
    tokenizer = fit_or_load_tokenizer(rows, settings, seed, state)
    trainer = GanTrainer(tokenizer, settings, seed)
    tokens = torch.from_numpy(tokenizer.encode(rows.take(rows.train), seed))
    holdout = torch.from_numpy(tokenizer.encode(rows.take(rows.holdout[:MAX_HOLDOUT_ROWS]), seed))
    batches = TokenBatches(tokens, settings.batch_size, seed)
    if state is not None:
        trainer.load_state(state)
    elif trainer.featurizer.num_labels:
        counts = torch.bincount(tokens[0], minlength=trainer.featurizer.num_labels).float()
        trainer.G.frequencies.copy_(counts)
        trainer.ema.frequencies.copy_(counts)
    preview = ScatterPreview.fit(rows, tokenizer, settings.min_value_count)
    sampler = GanSampler(trainer.ema, trainer.featurizer, settings)

    while (progress := callbacks.progress(trainer.step)) < 1:
        if callbacks.should_preview(trainer.step):
            callbacks.preview(trainer.step, preview.render(sampler, seed))
        if callbacks.should_checkpoint(trainer.step):
            callbacks.save(trainer.step, trainer.pack())
        seeding.seed_step(seed, trainer.step)
        set_lrs(trainer, progress)
        batch = batches.batch_at(trainer.step)
        label, real = trainer.label_tokens(batch), trainer.features(batch)
        fake = trainer.generate(trainer.G, label)

        step_losses = critic_step(trainer, label, real, fake.detach())
        step_losses |= generator_step(trainer, label, real, fake)
        trainer.step += 1
        trainer.update_ema()

        metrics = check_finite(trainer.step, step_losses)
        if trainer.step % settings.eval_interval == 0:
            callbacks.report(trainer.step, metrics | evaluate_critic(trainer, holdout, seed))

    callbacks.report(trainer.step, evaluate_critic(trainer, holdout, seed))
    callbacks.preview(trainer.step, preview.render(sampler, seed))
    callbacks.save(trainer.step, trainer.pack())


def critic_step(
    trainer: GanTrainer, label: Tensor, real: Tensor, fake: Tensor
) -> dict[str, Tensor]:
    """Update the critic.

        L_D = E[softplus(D(fake) - D(real))] + gamma / 2 * (R1 + R2)

    R1 and R2 are the expected squared norms of the critic's gradient at real and at fake rows. They
    are computed every `r1_interval` steps only (lazy regularization, Karras et al. 2020,
    1912.04958).
    """
    settings, labels = trainer.settings, torch.cat([label, label])
    loss = losses.relativistic_critic(*trainer.D(torch.cat([real, fake]), labels).chunk(2))
    metrics = {"critic_loss": loss.detach()}
    if trainer.step % settings.r1_interval == 0:
        real_and_fake = torch.cat([real, fake]).requires_grad_(True)
        penalty = losses.gradient_penalty(real_and_fake, trainer.D(real_and_fake, labels))
        metrics["gradient_penalty"] = penalty.detach()
        # The penalty is the mean over real and fake rows, (R1 + R2) / 2: with gamma, the paper's
        # gamma / 2 for each. The interval makes up for the steps without a penalty.
        loss = loss + settings.r1_gamma * settings.r1_interval * penalty
    trainer.opt_D.zero_grad(set_to_none=True)
    loss.backward()
    trainer.opt_D.step()
    return metrics


def generator_step(
    trainer: GanTrainer, label: Tensor, real: Tensor, fake: Tensor
) -> dict[str, Tensor]:
    """Update the generator: L_G = E[softplus(D(real) - D(fake))]."""
    trainer.D.requires_grad_(False)
    with torch.no_grad():
        real_scores = trainer.D(real, label)
    loss = losses.relativistic_generator(real_scores, trainer.D(fake, label))
    trainer.opt_G.zero_grad(set_to_none=True)
    loss.backward()
    trainer.opt_G.step()
    trainer.D.requires_grad_(True)
    return {"generator_loss": loss.detach()}


def set_lrs(trainer: GanTrainer, progress: float) -> None:
    """Set the learning rates: constant for half of the budget, then linear down to 2 %."""
    scale = min(1.0, max(0.02, 2 * (1 - progress)))
    for optimizer, lr in (
        (trainer.opt_G, trainer.settings.generator_lr),
        (trainer.opt_D, trainer.settings.critic_lr),
    ):
        for group in optimizer.param_groups:
            group["lr"] = lr * scale


@torch.no_grad()
def evaluate_critic(trainer: GanTrainer, holdout: Tensor, seed: int) -> dict[str, float]:
    """Return how well the critic separates held-out rows from as many generated ones."""
    if holdout.shape[1] < MIN_HOLDOUT_ROWS:
        return {}
    generator = torch.Generator().manual_seed(seed + trainer.step)
    label = trainer.label_tokens(holdout)
    real = trainer.features(holdout, generator)
    fake = trainer.generate(trainer.ema, label, generator)
    accuracy = critic_accuracy(trainer.D(real, label), trainer.D(fake, label))
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_auc": accuracy.auc,
    }
