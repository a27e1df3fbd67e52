"""The training loop: a conditional generator against a critic, guided by an encoder.

CVAE-GAN (Bao et al. 2017, 1703.10155; Larsen et al. 2016, 1512.09300): besides fooling the critic
with fresh noise, the generator reconstructs each real image from the noise that an encoder finds
for it. The likelihood-like term gives coverage, the adversary realism.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import losses
from models.checkpoint import flatten, pack, unflatten, unpack
from models.images.data import Batches, LabelledImages
from models.images.networks import Critic, Encoder, Generator
from models.images.pictures import sheet
from models.images.sampling import to_pixels
from models.images.settings import ImageSettings
from models.measures.critic import critic_accuracy
from models.run import Run, Saved, check_finite

PIXEL_DEVIATION = 0.15  # of the reconstruction's Gaussian, in units of [-1, 1]
MEASURED = 256  # held-out images for the critic's accuracy
PREVIEW_COLUMNS, PREVIEW_ROWS = 10, 20


class Networks:
    """Everything that has state and must survive a restart."""

    def __init__(self, settings: ImageSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings = settings
        layout = torch.channels_last
        self.G = Generator(settings).to(memory_format=layout)
        self.E = Encoder(settings).to(memory_format=layout)
        self.D = Critic(settings).to(memory_format=layout)
        self.average = copy.deepcopy(self.G).eval().requires_grad_(False)
        betas = (settings.beta1, settings.beta2)
        self.made_by = [*self.G.parameters(), *self.E.parameters()]
        self.opt_G = torch.optim.AdamW(
            self.made_by, settings.rate, betas=betas, weight_decay=0.0, fused=True
        )
        self.opt_D = torch.optim.AdamW(
            self.D.parameters(),
            settings.critic_rate,
            betas=(0.0, settings.beta2),
            weight_decay=0.0,
            fused=True,
        )
        self.step = 0

    def parts(self) -> dict[str, Any]:
        return {
            "G": self.G,
            "E": self.E,
            "D": self.D,
            "average": self.average,
            "opt_G": self.opt_G,
            "opt_D": self.opt_D,
        }

    def pack_state(self) -> bytes:
        tree = {name: dict(part.state_dict()) for name, part in self.parts().items()}
        tensors, rest = flatten(tree, "state")
        return pack(tensors, {"kind": "images.state", "step": self.step, "tree": rest})

    def load_state(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, part in self.parts().items():
            part.load_state_dict(tree[name])
        self.step = header["step"]

    def pack_model(self) -> bytes:
        header = {"kind": "images", "step": self.step, "config": self.settings.to_dict()}
        return pack(self.average.state_dict(), header)

    def pack(self) -> Saved:
        parameters = sum(weight.numel() for weight in self.average.parameters())
        return Saved(self.pack_state(), self.pack_model(), parameters)

    def update_average(self) -> None:
        """Weights and the norms' running moments; short memory at first, then `average`."""
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        pairs = [
            (mine, theirs)
            for mine, theirs in zip(
                self.average.state_dict().values(), self.G.state_dict().values(), strict=True
            )
            if mine.is_floating_point()
        ]
        torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], 1 - decay)


def train(
    data: LabelledImages, settings: ImageSettings, run: Run, *, seed: int, state: Path | None = None
) -> None:
    """Train until `run.progress` is 1; goes on from `state` if there is one.

    Every step's randomness comes from (seed, step): a resumed run equals an unbroken one.
    """
    nets = Networks(settings, seed)
    if state is not None:
        nets.load_state(state)
    G, E, D, opt_G, opt_D = nets.G, nets.E, nets.D, nets.opt_G, nets.opt_D
    batches = Batches(data, settings.batch, seed)

    while (progress := run.progress(nets.step)) < 1:
        torch.manual_seed(1_000_003 * seed + nets.step)
        adversarial = progress >= settings.adversarial_from
        set_rates(nets, progress, adversarial=adversarial)
        real, y = batches.at(nets.step)
        G.train()

        # Generator: each real image from its own noise and, later, fakes from fresh noise.
        mean, log_variance = E(real, y)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        fresh = torch.randn_like(z)
        if adversarial:
            made, fake = G(torch.cat([z, fresh]), torch.cat([y, y])).chunk(2)
        else:
            made, fake = G(z, y), None
        error = (made - real).square().flatten(1).sum(1).mean() / (2 * PIXEL_DEVIATION**2)
        kl = losses.kl_to_standard_normal(mean, log_variance)
        # Per pixel, so that the weight means the same at every size.
        loss_G = settings.reconstruction * (error + kl) / real[0].numel()
        logged: dict[str, Tensor] = {"reconstruction": loss_G.detach(), "kl": kl.detach()}

        # Critic: real above fake; its gradient at the fakes serves the generator too.
        pull = None
        if fake is not None:
            shown = fake.detach().requires_grad_(True)
            scores_real, scores_fake = D(torch.cat([real, shown]), torch.cat([y, y])).chunk(2)
            loss_D = losses.critic_loss(scores_real, scores_fake)
            opt_D.zero_grad(set_to_none=True)
            loss_D.backward()
            assert shown.grad is not None  # noqa: S101 - the loss depends on it
            slope = losses.generator_slope(scores_real.detach(), scores_fake.detach())
            pull = shown.grad * slope[:, None, None, None]
            if nets.step % settings.penalty_every == 0:
                both = torch.cat([real, fake.detach()]).requires_grad_(True)
                penalty = losses.gradient_penalty(both, D(both, torch.cat([y, y])))
                # Half gamma on each of R1 and R2, times the steps that it stands for.
                (gamma(settings, progress) * settings.penalty_every * penalty).backward()
                logged["penalty"] = penalty.detach()
            opt_D.step()
            logged["critic_loss"] = loss_D.detach()
            logged["generator_loss"] = losses.generator_loss(
                scores_real.detach(), scores_fake.detach()
            )

        opt_G.zero_grad(set_to_none=True)
        (loss_G if pull is None else loss_G + (fake * pull).sum()).backward()
        nn.utils.clip_grad_norm_(nets.made_by, 5.0)
        opt_G.step()
        nets.step += 1
        nets.update_average()

        if nets.step % settings.log_every == 0:
            run.report(
                nets.step, check_finite(nets.step, logged) | measure_critic(nets, data, seed)
            )
        if run.wants_preview(nets.step):
            run.preview(nets.step, preview(nets, seed))
        if run.wants_checkpoint(nets.step):
            run.save(nets.step, nets.pack())

    run.preview(nets.step, preview(nets, seed))
    run.save(nets.step, nets.pack())


def gamma(settings: ImageSettings, progress: float) -> float:
    """Geometric from start to end: strong smoothing early, sharp detail late."""
    start, end = settings.penalty_start, settings.penalty_end
    return start if start == end or start == 0 else start * (max(end, 1e-9) / start) ** progress


def set_rates(nets: Networks, progress: float, *, adversarial: bool) -> None:
    """Constant to half of the budget, then linear to a tenth."""
    settings = nets.settings
    scale = 1.0 if progress < 0.5 else max(0.1, 1 - (progress - 0.5) * 1.8)
    rate = settings.critic_rate if adversarial else settings.rate
    for optimizer, value in ((nets.opt_G, rate), (nets.opt_D, settings.critic_rate)):
        for group in optimizer.param_groups:
            group["lr"] = value * scale


@torch.no_grad()
def measure_critic(nets: Networks, data: LabelledImages, seed: int) -> dict[str, float]:
    """Accuracy on held-out real images and as many fresh fakes of the same labels."""
    if len(data.held_out) < 4:
        return {}
    rng = np.random.default_rng((seed, nets.step, 1))  # apart from the training's own numbers
    index = rng.choice(data.held_out, min(MEASURED, len(data.held_out)), replace=False)
    real, y = data.batch(index)
    noise = torch.Generator().manual_seed(seed + nets.step)
    fake = nets.average(torch.randn(len(y), nets.settings.noise, generator=noise), y)
    accuracy = critic_accuracy(nets.D(real, y), nets.D(fake, y))
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_pairs": accuracy.pairs,
    }


@torch.no_grad()
def preview(nets: Networks, seed: int) -> NDArray[np.uint8]:
    """A row for each label, the same noise in each row and at each step."""
    labels = min(PREVIEW_ROWS, nets.settings.classes)
    generator = torch.Generator().manual_seed(seed)
    if labels == 1:
        noise = torch.randn(PREVIEW_COLUMNS**2, nets.settings.noise, generator=generator)
        y = torch.zeros(len(noise), dtype=torch.long)
    else:
        row = torch.randn(PREVIEW_COLUMNS, nets.settings.noise, generator=generator)
        noise, y = row.repeat(labels, 1), torch.arange(labels).repeat_interleave(PREVIEW_COLUMNS)
    return sheet(to_pixels(nets.average(noise, y)), PREVIEW_COLUMNS)
