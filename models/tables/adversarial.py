"""The training loop of the conditional GAN over mixed columns: no likelihood, only the critic.

Relativistic pairs with penalties on both sides (Huang et al. 2024, 2501.05441).
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import chance, losses
from models.checkpoint import flatten, pack, unflatten, unpack
from models.measures.critic import critic_accuracy
from models.run import Run, Saved, check_finite
from models.tables.beginning import encoding_of
from models.tables.data import ENOUGH, MEASURED, Batches, LabelledRows
from models.tables.encoding import Encoding
from models.tables.mlp import Critic, Generator, NoiseMaker, Parts
from models.tables.preview import Picture
from models.tables.settings import TableSettings


class Networks:
    """Everything that has state and must survive a restart."""

    def __init__(self, encoding: Encoding, settings: TableSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.encoding, self.settings, self.parts = encoding, settings, Parts(encoding)
        self.G = Generator(self.parts, settings)
        self.D = Critic(self.parts, settings)
        self.average = copy.deepcopy(self.G).eval().requires_grad_(False)
        betas = (0.0, settings.beta2)
        self.opt_G = torch.optim.Adam(self.G.parameters(), settings.rate, betas=betas, fused=True)
        self.opt_D = torch.optim.Adam(
            self.D.parameters(), settings.critic_rate, betas=betas, fused=True
        )
        self.step = 0

    def stateful(self) -> dict[str, Any]:
        names = ("G", "D", "average", "opt_G", "opt_D")
        return {name: getattr(self, name) for name in names}

    def pack(self) -> Saved:
        about, arrays = self.encoding.to_tensors()
        tree = {name: dict(part.state_dict()) for name, part in self.stateful().items()}
        tensors, rest = flatten(tree, "state")
        header = {"kind": "rows.state", "step": self.step, "tree": rest, "encoding": about}
        state = pack(tensors | arrays, header)
        weights = {f"generator.{n}": t for n, t in self.average.state_dict().items()}
        config = self.settings.to_dict()
        header = {"kind": "rows", "step": self.step, "config": config, "encoding": about}
        parameters = sum(weight.numel() for weight in self.average.parameters())
        return Saved(state, pack(weights | arrays, header), parameters)

    def load_state(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, part in self.stateful().items():
            part.load_state_dict(tree[name])
        self.step = header["step"]

    def update_average(self) -> None:
        """Short memory at first, then `average`."""
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - decay)

    def label_of(self, tokens: Tensor) -> Tensor:
        """(S, B) to (B,); zeros without a label."""
        return tokens[0] if self.parts.labels else torch.zeros_like(tokens[0])

    def features_of(self, tokens: Tensor, generator: torch.Generator | None = None) -> Tensor:
        u = torch.rand(self.parts.numbers.shape[1], tokens.shape[1], generator=generator)
        return self.parts.of_tokens(tokens, u)

    def made(
        self, network: Generator, label: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """(B, X) fresh rows of the labels."""
        z = torch.randn(len(label), self.settings.noise, generator=generator)
        u = torch.rand(len(label), len(self.parts.steps), generator=generator)
        return self.parts.choose(network(z, label), u)[0]


def train(
    rows: LabelledRows, settings: TableSettings, run: Run, *, seed: int, state: Path | None
) -> None:
    """As `models.tables.training.train`, which calls it."""
    encoding = encoding_of(rows, settings, seed, state)
    nets = Networks(encoding, settings, seed)
    tokens = torch.from_numpy(encoding.encode(rows.part(rows.train), seed))
    held_out = torch.from_numpy(encoding.encode(rows.part(rows.held_out[:MEASURED]), seed))
    batches = Batches(tokens, settings.batch, seed)
    if state is not None:
        nets.load_state(state)
    elif nets.parts.labels:
        counts = torch.bincount(tokens[0], minlength=nets.parts.labels).float()
        nets.G.frequencies.copy_(counts)
        nets.average.frequencies.copy_(counts)
    picture = Picture.of(rows, encoding, settings.min_count)
    maker = NoiseMaker(nets.average, nets.parts, settings)

    while (progress := run.progress(nets.step)) < 1:
        if run.wants_preview(nets.step):
            run.preview(nets.step, picture.draw(maker, seed))
        if run.wants_checkpoint(nets.step):
            run.save(nets.step, nets.pack())
        chance.begin_step(seed, nets.step)
        set_rates(nets, progress)
        batch = batches.at(nets.step)
        label, real = nets.label_of(batch), nets.features_of(batch)
        fake = nets.made(nets.G, label)

        logged = critic_step(nets, label, real, fake.detach())
        logged |= generator_step(nets, label, real, fake)
        nets.step += 1
        nets.update_average()

        numbers = check_finite(nets.step, logged)
        if nets.step % settings.measure_every == 0:
            run.report(nets.step, numbers | verdict(nets, held_out, seed))

    run.report(nets.step, verdict(nets, held_out, seed))
    run.preview(nets.step, picture.draw(maker, seed))
    run.save(nets.step, nets.pack())


def critic_step(nets: Networks, label: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Real above made, and flat around both."""
    settings, labels = nets.settings, torch.cat([label, label])
    loss = losses.relativistic_critic(*nets.D(torch.cat([real, fake]), labels).chunk(2))
    logged = {"critic_loss": loss.detach()}
    if nets.step % settings.penalty_every == 0:
        both = torch.cat([real, fake]).requires_grad_(True)
        penalty = losses.gradient_penalty(both, nets.D(both, labels))
        logged["penalty"] = penalty.detach()
        # Half gamma on each of R1 and R2, times the steps that it stands for.
        loss = loss + settings.penalty * settings.penalty_every * penalty
    nets.opt_D.zero_grad(set_to_none=True)
    loss.backward()
    nets.opt_D.step()
    return logged


def generator_step(nets: Networks, label: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Made above real."""
    nets.D.requires_grad_(False)
    with torch.no_grad():
        target = nets.D(real, label)
    loss = losses.relativistic_generator(target, nets.D(fake, label))
    nets.opt_G.zero_grad(set_to_none=True)
    loss.backward()
    nets.opt_G.step()
    nets.D.requires_grad_(True)
    return {"generator_loss": loss.detach()}


def set_rates(nets: Networks, progress: float) -> None:
    """Constant to half of the budget, then linear to nearly nothing."""
    scale = min(1.0, max(0.02, 2 * (1 - progress)))
    for optimizer, rate in (
        (nets.opt_G, nets.settings.rate),
        (nets.opt_D, nets.settings.critic_rate),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * scale


@torch.no_grad()
def verdict(nets: Networks, held_out: Tensor, seed: int) -> dict[str, float]:
    """How well the critic tells held-out real rows from as many fresh ones."""
    if held_out.shape[1] < ENOUGH:
        return {}
    noise = torch.Generator().manual_seed(seed + nets.step)
    label = nets.label_of(held_out)
    real = nets.features_of(held_out, noise)
    fake = nets.made(nets.average, label, noise)
    accuracy = critic_accuracy(nets.D(real, label), nets.D(fake, label))
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_pairs": accuracy.pairs,
    }
