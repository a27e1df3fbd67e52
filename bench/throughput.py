"""Benchmark of images per CPU-second, compared with a plain GAN: `python -m bench.throughput`.

Training and sampling of both run in turn, on one thread and with random images.

The plain GAN follows the papers: a generator of 96 channels at 7 x 7 with class-conditional norms,
pixel shuffles and a residual convolution (652 k parameters); a projection critic without norms
(1.27 M); a relativistic pairing loss with R1 and R2 every eighth step (Huang et al. 2024, arXiv
2501.05441); batches of 32; separate passes through the critic for the two players.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import losses
from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.settings import ImageData
from models.images.training import ImageTrainer
from models.images.vae_gan.networks import ConditionalNorm
from models.images.vae_gan.settings import VaeGanSettings
from models.images.weights import adamw, channels_last
from models.microbatch import Part, Position
from models.weight_average import WeightAverage

BATCH_SIZE, LATENT_DIM, CLASSES = 32, 64, 10
STEPS, SAMPLES, SAMPLING_BATCH_SIZE, ROUNDS = 60, 6_400, 64, 3


class PlainGenerator(nn.Module):
    """Generator of latents (N, 64) and labels (N,) to images (N, 1, 28, 28)."""

    def __init__(self) -> None:
        super().__init__()
        self.label = nn.Embedding(CLASSES, 64)
        self.start = nn.Linear(LATENT_DIM + 64, 96 * 49)
        self.norms = nn.ModuleList(ConditionalNorm(c, CLASSES) for c in (96, 48, 48))
        self.up = nn.Conv2d(96, 4 * 48, 1)
        self.middle = nn.Conv2d(48, 48, 3, padding=1)
        self.end = nn.Conv2d(48, 4, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        label = self.label(y)
        # Normalize to unit RMS, as the latents have.
        label = label * (label.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        x = self.start(torch.cat([z, label], 1)).view(-1, 96, 7, 7)
        x = F.relu(self.norms[0](x.contiguous(memory_format=torch.channels_last), y))
        x = F.relu(self.norms[1](F.pixel_shuffle(self.up(x), 2), y))
        x = x + F.relu(self.norms[2](self.middle(x), y))
        return torch.tanh(F.pixel_shuffle(self.end(x), 2))


class PlainCritic(nn.Module):
    """Projection critic (Miyato & Koyama 2018) of images (N, 1, 28, 28): one score each, (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, 24, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(24, 48, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(48, 96, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.hidden = nn.Linear(96 * 49, 256)
        self.score = nn.Linear(256, 1)
        self.label = nn.Embedding(CLASSES, 256)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.leaky_relu(self.hidden(self.layers(x)), 0.2)
        score: Tensor = self.score(h)[:, 0] + (self.label(y) * h).sum(1) / 4
        return score


class PlainGan:
    """Training loop with a separate critic pass for each player."""

    def __init__(self) -> None:
        self.G, self.D = channels_last(PlainGenerator()), channels_last(PlainCritic())
        self.average = WeightAverage(self.G, 0.999)
        self.opt_G, self.opt_D = adamw(self.G, 1e-3, 0.0), adamw(self.D, 1e-3, 0.0)
        self.step = 0

    def train_step(self, real: Tensor, y: Tensor) -> None:
        fake = self.G(torch.randn(len(y), LATENT_DIM), y)
        loss = losses.relativistic_critic(self.D(real, y), self.D(fake.detach(), y))
        if self.step % 8 == 0:
            real_and_fake = torch.cat([real, fake.detach()]).requires_grad_(True)
            scores = self.D(real_and_fake, torch.cat([y, y]))
            # R1 and R2; the factor 8 makes up for the seven steps without a penalty.
            loss = loss + 8 * 0.1 * losses.gradient_penalty(real_and_fake, scores)
        self.opt_D.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_D.step()
        self.opt_G.zero_grad(set_to_none=True)
        losses.relativistic_generator(self.D(real, y).detach(), self.D(fake, y)).backward()
        self.opt_G.step()
        self.step += 1
        self.average.update(self.step)


def images_per_second(work: Callable[[], int]) -> float:
    """Return the highest rate of some rounds, as other processes can only lower it.

    `work` returns the number of images.
    """
    rates = []
    for _ in range(ROUNDS):
        started = time.process_time()
        rates.append(work() / (time.process_time() - started))
    return max(rates)


@torch.inference_mode()
def sample(generator: Callable[[Tensor, Tensor], Tensor], latent_dim: int) -> int:
    for _ in range(SAMPLES // SAMPLING_BATCH_SIZE):
        z = torch.randn(SAMPLING_BATCH_SIZE, latent_dim)
        generator(z, torch.randint(CLASSES, (SAMPLING_BATCH_SIZE,)))
    return SAMPLES


def main() -> None:
    argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__).parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4_000, 28, 28), np.uint8)
    labels = rng.integers(0, CLASSES, 4_000, np.int32)
    data = LabeledImages.split(pixels, labels, holdout_fraction=0.1, seed=1)
    settings = resolve(ImageData(28, 28, 1, CLASSES, 4_000), "fast", {})
    assert isinstance(settings, VaeGanSettings)  # noqa: S101 - the architecture that `auto` resolves to
    plain, trainer = PlainGan(), ImageTrainer(settings, data, seed=1)
    trainer.start_main_phase()
    ours = trainer.networks
    batch = data.batch(data.train[:BATCH_SIZE])

    def train_plain() -> int:
        for _ in range(STEPS):
            plain.train_step(*batch)
        return STEPS * BATCH_SIZE

    def train_ours() -> int:
        for _ in range(STEPS):  # as in models.training_loop.train
            position = Position(trainer.step, 0.5)
            for optimizer in ours.optimizers:
                optimizer.zero_grad(set_to_none=True)
            noise = torch.randn(BATCH_SIZE, settings.latent_dim)
            ours.begin_step(position)
            ours.add_gradients(Part((*batch, noise), position))
            ours.apply_gradients(position)
            ours.update_average(trainer.step)
            trainer.step += 1
        return STEPS * BATCH_SIZE

    train_plain(), train_ours()  # warm up
    ours.finalize()
    plain_rate, our_rate = images_per_second(train_plain), images_per_second(train_ours)
    print_rates("training", our_rate, plain_rate)
    plain_rate = images_per_second(lambda: sample(plain.average.network, LATENT_DIM))
    our_rate = images_per_second(lambda: sample(ours.ema_generator(), ours.noise_size))
    print_rates("sampling", our_rate, plain_rate)


def print_rates(task: str, ours: float, plain: float) -> None:
    ratio = ours / plain
    print(f"{task}: {ours:,.0f} images per CPU-second, plain GAN {plain:,.0f}: {ratio:.2f} x")


if __name__ == "__main__":
    main()
