"""Images a CPU-second, training and sampling, beside a plain adversarial loop, in one run:
`python -m bench.throughput`. One thread; random images, for only the time counts.

The plain loop is what one writes from the papers: a generator of 96 channels at 7 x 7 with
class-conditional norms, pixel shuffles and a residual convolution (652 k parameters), a projection
critic without norms (1.27 M), relativistic pairs with R1 and R2 every eighth step (Huang et al.
2024, 2501.05441), batch 32, a pass of its own through the critic for each of the two sides.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.many_images import Steps
from models import losses
from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.settings import ImageData
from models.images.vae_gan.networks import ConditionalNorm
from models.images.vae_gan.settings import VaeGanSettings
from models.images.vae_gan.training import VaeGanTrainer
from models.images.weights import adamw, channels_last, ema_copy, update_ema

BATCH, NOISE, CLASSES, STEPS, ROUNDS, DRAWN = 32, 64, 10, 60, 3, 6_400


class PlainGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.label = nn.Embedding(CLASSES, 64)
        self.start = nn.Linear(NOISE + 64, 96 * 49)
        self.norms = nn.ModuleList(ConditionalNorm(c, CLASSES) for c in (96, 48, 48))
        self.up = nn.Conv2d(96, 4 * 48, 1)
        self.middle = nn.Conv2d(48, 48, 3, padding=1)
        self.end = nn.Conv2d(48, 4, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        label = self.label(y)
        label = label * (label.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        x = self.start(torch.cat([z, label], 1)).view(-1, 96, 7, 7)
        x = F.relu(self.norms[0](x.contiguous(memory_format=torch.channels_last), y))
        x = F.relu(self.norms[1](F.pixel_shuffle(self.up(x), 2), y))
        x = x + F.relu(self.norms[2](self.middle(x), y))
        return torch.tanh(F.pixel_shuffle(self.end(x), 2))


class PlainCritic(nn.Module):
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
        return self.score(h)[:, 0] + (self.label(y) * h).sum(1) / 4


class Plain:
    def __init__(self) -> None:
        self.G, self.D = channels_last(PlainGenerator()), channels_last(PlainCritic())
        self.average = ema_copy(self.G)
        self.opt_G, self.opt_D = adamw(self.G, 1e-3, 0.0), adamw(self.D, 1e-3, 0.0)
        self.step = 0

    def learn(self, real: Tensor, y: Tensor) -> None:
        fake = self.G(torch.randn(len(y), NOISE), y)
        loss = losses.relativistic_critic(self.D(real, y), self.D(fake.detach(), y))
        if self.step % 8 == 0:
            both = torch.cat([real, fake.detach()]).requires_grad_(True)
            scores = self.D(both, torch.cat([y, y]))
            loss = loss + 8 * 0.1 * losses.gradient_penalty(both, scores)
        self.opt_D.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_D.step()
        self.opt_G.zero_grad(set_to_none=True)
        losses.relativistic_generator(self.D(real, y).detach(), self.D(fake, y)).backward()
        self.opt_G.step()
        self.step += 1
        update_ema(self.average, self.G, 0.999, self.step)


def images_a_second(act: Callable[[], int]) -> float:
    """The best of some rounds: whoever else is at work can only slow it down."""
    rates = []
    for _ in range(ROUNDS):
        started = time.process_time()
        rates.append(act() / (time.process_time() - started))
    return max(rates)


@torch.inference_mode()
def draw(make: Callable[[Tensor, Tensor], Tensor], noise: int) -> int:
    for _ in range(DRAWN // 64):
        make(torch.randn(64, noise), torch.randint(CLASSES, (64,)))
    return DRAWN


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4_000, 28, 28), np.uint8)
    labels = rng.integers(0, CLASSES, 4_000, np.int32)
    data = LabeledImages.split(pixels, labels, holdout_fraction=0.1, seed=1)
    settings = resolve(ImageData(28, 28, 1, CLASSES, 4_000), "fast", {})
    assert isinstance(settings, VaeGanSettings)  # noqa: S101 - what auto comes to
    plain, ours, run = Plain(), VaeGanTrainer(settings, data, seed=1), Steps(1)
    batch = data.batch(data.train[:BATCH])

    def train_plain() -> int:
        for _ in range(STEPS):
            plain.learn(*batch)
        return STEPS * BATCH

    def train_ours() -> int:
        for _ in range(STEPS):
            ours.train_step(*batch, 0.5, run)
            ours.step += 1
        return STEPS * BATCH

    train_plain(), train_ours()  # warm
    ours.finalize()
    theirs, mine = images_a_second(train_plain), images_a_second(train_ours)
    print(f"training: {mine:,.0f} images a second, plain {theirs:,.0f}: {mine / theirs:.2f} x")
    theirs = images_a_second(lambda: draw(plain.average, NOISE))
    mine = images_a_second(lambda: draw(ours.ema_generator(), ours.noise_size))
    print(f"sampling: {mine:,.0f} images a second, plain {theirs:,.0f}: {mine / theirs:.2f} x")


if __name__ == "__main__":
    main()
