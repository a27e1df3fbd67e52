"""Training of the conditional GAN over mixed columns.

R3GAN: relativistic pairing loss with gradient penalties on real and on fake rows (Huang et al.
2024, 2501.05441).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import losses
from models.metrics.critic import critic_accuracy
from models.microbatch import Batch, Part, Position
from models.placement import upload
from models.tabular.checkpoint import AveragedRun
from models.tabular.data import MIN_HOLDOUT_ROWS, TokenBatches
from models.tabular.gan.networks import Critic, GanSampler, Generator, RowFeaturizer
from models.tabular.preview import ScatterPreview
from models.tabular.settings import TableSettings
from models.tabular.tokenized_rows import TokenizedRows
from models.training_callbacks import TrainingCallbacks, check_finite
from models.training_loop import Phase
from models.weight_average import WeightAverage


class GanBatches:
    """Batches of rows as features, with their labels and the noise of as many fake rows."""

    def __init__(self, batches: TokenBatches, featurizer: RowFeaturizer, latent_dim: int) -> None:
        self._batches, self._featurizer, self._latent_dim = batches, featurizer, latent_dim

    def batch_at(self, step: int) -> Batch:
        return self.from_tokens(self._batches.batch_at(step).T)

    def from_tokens(self, tokens: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Return labels (B,), features (B, X), noise (B, Z) and uniforms (B, P) for (S, B) tokens.

        Without a label, all labels are 0.
        """
        featurizer, size = self._featurizer, tokens.shape[1]
        label = tokens[0] if featurizer.num_labels else torch.zeros_like(tokens[0])
        positions = torch.rand(featurizer.numbers.shape[1], size, generator=generator)
        real = featurizer.from_tokens(tokens, upload(positions, tokens.device))
        z = torch.randn(size, self._latent_dim, generator=generator)
        u = torch.rand(size, len(featurizer.steps), generator=generator)
        return label, real, upload(z, tokens.device), upload(u, tokens.device)


class GanTrainer(AveragedRun):
    """A run of a single phase: generator and critic (see Trainer and Phase)."""

    saved = ("G", "D", "average", "opt_G", "opt_D", "step")
    # The generator's gradients need the critic's optimizer step before.
    microbatch_size: int | None = None
    scatter: ScatterPreview

    def __init__(
        self, rows: TokenizedRows, settings: TableSettings, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)
        self.tokenizer, self.settings, self.seed = rows.tokenizer, settings, seed
        self.step = 0
        self.device, self.holdout = device, rows.holdout.to(device)
        self.featurizer = RowFeaturizer(rows.tokenizer).to(device)
        self.batches = GanBatches(
            TokenBatches(rows.train, settings.batch_size, seed, device=device),
            self.featurizer,
            settings.latent_dim,
        )
        self.G = Generator(self.featurizer, settings).to(device)
        self.D = Critic(self.featurizer, settings).to(device)
        self.average: WeightAverage[Generator] = WeightAverage(self.G, settings.ema_decay)
        betas = (0.0, settings.beta2)
        self.opt_G = torch.optim.Adam(
            self.G.parameters(), settings.generator_lr, betas=betas, fused=True
        )
        self.opt_D = torch.optim.Adam(
            self.D.parameters(), settings.critic_lr, betas=betas, fused=True
        )
        self.optimizers = (self.opt_G, self.opt_D)

    def start_from_frequencies(self, tokens: Tensor) -> None:
        """Set the frequencies of the labels to those in (S, N) tokens."""
        if self.featurizer.num_labels:
            counts = torch.bincount(tokens[0], minlength=self.featurizer.num_labels)
            self.G.frequencies.copy_(counts)
            self.average.load_state_dict(self.G.state_dict())

    def update_progress(self, used: float) -> float:
        return used

    def current_phase(self) -> Phase:
        return self

    def begin_step(self, position: Position) -> None:  # noqa: ARG002 - see Phase
        """Return None: the critic's optimizer step, whose rate changes, cannot be recorded."""
        return

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Update the critic, and compute the gradients of the generator.

            L_D = E[softplus(D(fake) - D(real))] + gamma / 2 * (R1 + R2)
            L_G = E[softplus(D(real) - D(fake))]

        R1 and R2 are the expected squared norms of the critic's gradient at real and at fake rows.
        They are computed every `r1_interval` steps only (lazy regularization, Karras et al. 2020,
        1912.04958).
        """
        settings, (label, real, z, u) = self.settings, part.batch
        fake, _ = self.featurizer.sample_choices(self.G(z, label), u)
        real_and_fake, labels = torch.cat([real, fake.detach()]), torch.cat([label, label])
        loss = losses.relativistic_critic(*self.D(real_and_fake, labels).chunk(2))
        logged = {"critic_loss": loss.detach()}
        if part.position.step % settings.r1_interval == 0:
            real_and_fake.requires_grad_(True)
            penalty = losses.gradient_penalty(real_and_fake, self.D(real_and_fake, labels))
            logged["gradient_penalty"] = penalty.detach()
            # The penalty is the mean over real and fake rows, (R1 + R2) / 2: with gamma, the
            # paper's gamma / 2 for each. The interval makes up for the steps without a penalty.
            loss = loss + settings.r1_gamma * settings.r1_interval * penalty
        loss.backward()
        set_lr(self.opt_D, settings.critic_lr, part.position.progress)
        self.opt_D.step()

        self.D.requires_grad_(False)
        with torch.no_grad():
            real_scores = self.D(real, label)
        loss = losses.relativistic_generator(real_scores, self.D(fake, label))
        loss.backward()
        self.D.requires_grad_(True)
        return logged | {"generator_loss": loss.detach()}

    def apply_gradients(self, position: Position) -> None:
        set_lr(self.opt_G, self.settings.generator_lr, position.progress)
        self.opt_G.step()

    def report(self, losses: dict[str, Tensor], callbacks: TrainingCallbacks) -> None:
        if self.step % self.settings.eval_interval == 0:  # reading a loss waits for the device
            callbacks.report(self.step, check_finite(self.step, losses) | self.evaluate_critic())

    def finish(self, callbacks: TrainingCallbacks) -> None:
        callbacks.report(self.step, self.evaluate_critic())
        callbacks.preview(self.step, self.render_preview())
        callbacks.save(self.step, self.pack())

    def render_preview(self) -> NDArray[np.uint8]:
        sampler = GanSampler(self.average.network, self.featurizer, self.settings)
        return self.scatter.render(sampler, self.seed)

    @torch.no_grad()
    def evaluate_critic(self) -> dict[str, float]:
        """Return how well the critic separates held-out rows from as many generated ones."""
        if self.holdout.shape[1] < MIN_HOLDOUT_ROWS:
            return {}
        generator = torch.Generator().manual_seed(self.seed + self.step)
        label, real, z, u = self.batches.from_tokens(self.holdout, generator)
        fake, _ = self.featurizer.sample_choices(self.average.network(z, label), u)
        return critic_accuracy(self.D(real, label), self.D(fake, label)).to_metrics()


def set_lr(optimizer: torch.optim.Optimizer, lr: float, progress: float) -> None:
    """Set the learning rate: constant for half of the budget, then linear down to 2 %."""
    for group in optimizer.param_groups:
        group["lr"] = lr * min(1.0, max(0.02, 2 * (1 - progress)))
