"""The training loop: a conditional generator against a critic, guided by an encoder.

A variational autoencoder whose decoder is the generator of an adversarial game (VAE/GAN, Larsen et
al. 2016, 1512.09300; CVAE-GAN, Bao et al. 2017, 1703.10155), in three phases: a small classifier
learns what the images differ in (perceptual features, Johnson et al. 2016, 1603.08155); encoder and
generator learn to reconstruct images in pixels and in those features; then a critic joins, which
compares each image with its own reconstruction. New images are drawn from a prior that is fitted to
the noise that the encoder finds (models.images.prior).
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models import losses, memory
from models.images.data import Batches, LabelledImages
from models.images.pictures import sheet
from models.images.prior import LatentPrior
from models.images.sampling import to_pixels
from models.images.settings import ImageSettings
from models.images.state import FLIPS, State
from models.measures.critic import critic_accuracy
from models.run import Run, check_finite

CLASSIFIER_BATCH = 128
MEASURED = 256  # held-out images for the critic's accuracy
PREVIEW_COLUMNS, PREVIEW_ROWS = 10, 20


def train(
    data: LabelledImages, settings: ImageSettings, run: Run, *, seed: int, state: Path | None = None
) -> None:
    """Train until `run.progress` is 1; goes on from `state` if there is one.

    Every step's randomness comes from (seed, step): a resumed run equals an unbroken one.
    """
    nets = State(settings, seed)
    if state is not None:
        nets.load(state)
    batches = Batches(data, settings.batch, seed)
    wide = Batches(data, CLASSIFIER_BATCH, seed)

    while (progress := run.progress(nets.step)) < 1 - settings.prior_share:
        if run.wants_preview(nets.step):
            run.preview(nets.step, preview(nets, nets.quick_prior()))
        if run.wants_checkpoint(nets.step):
            run.save(nets.step, nets.pack(nets.quick_prior()))

        torch.manual_seed(1_000_003 * seed + nets.step)
        set_rates(nets, progress)
        if progress < settings.features_until:
            logged = learn_features(nets, *wide.at(nets.step))
        else:
            if nets.features is None:
                nets.settle_features(data)
            logged = gradients_in_parts(nets, *batches.at(nets.step), progress, run)
            nn.utils.clip_grad_norm_(nets.made_by, 5.0)
            nets.opt_G.step()
            if progress >= settings.critic_from:
                nets.opt_D.step()
            nets.update_average()
        nets.step += 1

        if nets.step % settings.log_every == 0:
            run.report(nets.step, check_finite(nets.step, logged) | measure_critic(nets, data))

    prior = nets.final_prior(data)
    run.preview(nets.step, preview(nets, prior))
    run.save(nets.step, nets.pack(prior))


def learn_features(nets: State, images: Tensor, y: Tensor) -> dict[str, Tensor]:
    """One step of the classifier: of the labels, or, without labels, of how an image was flipped
    (self-supervision as by rotations, Gidaris et al. 2018, 1803.07728, at any height and width)."""
    if nets.settings.classes == 1:
        y = torch.randint(FLIPS, (len(images),))
        sideways = torch.where((y % 2 == 1)[:, None, None, None], images.flip(3), images)
        images = torch.where((y >= 2)[:, None, None, None], sideways.flip(2), sideways)
    loss = F.cross_entropy(nets.classifier(images), y, label_smoothing=0.05)
    nets.opt_classifier.zero_grad(set_to_none=True)
    loss.backward()
    nets.opt_classifier.step()
    return {"feature_loss": loss.detach()}


def gradients_in_parts(
    nets: State, real: Tensor, y: Tensor, progress: float, run: Run
) -> dict[str, Tensor]:
    """The gradients of a whole batch on both sides, computed for as many images at a time as fit
    into memory: half as many, and again from the start, whenever it runs out."""
    while True:
        torch.manual_seed(1_000_003 * nets.seed + nets.step)
        for optimizer in (nets.opt_G, nets.opt_D):
            optimizer.zero_grad(set_to_none=True)
        logged: dict[str, Tensor] = {}
        try:
            for images, labels in zip(real.split(nets.at_once), y.split(nets.at_once), strict=True):
                share = len(images) / len(real)
                for name, value in gradients(nets, images, labels, progress, share).items():
                    logged[name] = logged.get(name, torch.zeros(())) + share * value
        except Exception as error:
            if nets.at_once == 1 or not memory.is_exhausted(error):
                raise
            nets.at_once = nets.at_once // 2
            run.warn(nets.step, f"out of memory: on with {nets.at_once} images at a time")
        else:
            return logged


def gradients(
    nets: State, real: Tensor, y: Tensor, progress: float, share: float = 1.0
) -> dict[str, Tensor]:
    """Add the gradients of both games to both sides, for `share` of a batch; no parameter changes.

    The generator's share that comes through the critic is taken from the critic's own backward pass
    (losses.generator_slope).
    """
    settings = nets.settings
    assert nets.features is not None  # noqa: S101 - settled before the first call
    with torch.no_grad():
        truth = [real, *nets.features.levels(real)]
    mean, log_variance = nets.E(truth[2].flatten(1), y)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    nets.remember(z.detach(), y)
    made = nets.G(z, y)
    found = [made, *nets.features.levels(made)]
    errors = [
        scale * F.mse_loss(a, b)
        for scale, a, b in zip(nets.scales.tolist(), found, truth, strict=True)
    ]
    kl = losses.kl_to_standard_normal(mean, log_variance)
    loss = settings.pixel_weight * errors[0] + settings.feature_weight * sum(errors[1:])
    loss = loss + settings.kl_weight * kl
    logged = {"pixel_error": errors[0].detach(), "kl": kl.detach()}
    if progress >= settings.critic_from:
        pull, more = critic_gradients(nets, real, made.detach(), y, progress, share)
        loss = loss + settings.adversarial_weight * (made * pull).sum() / share
        logged |= more
    (share * loss).backward()
    return logged


def critic_gradients(
    nets: State, real: Tensor, made: Tensor, y: Tensor, progress: float, share: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the critic's gradients; returns `share` of d generator_loss / d made, too."""
    settings = nets.settings
    shown = made.clone().requires_grad_(True)
    both = torch.cat([y, y])
    scores_real, scores_made = nets.D(torch.cat([real, shown]), both).chunk(2)
    loss = losses.critic_loss(scores_real, scores_made)
    (share * loss).backward()
    assert shown.grad is not None  # noqa: S101 - the loss depends on it
    slope = losses.generator_slope(scores_real.detach(), scores_made.detach())
    logged = {
        "critic_loss": loss.detach(),
        "generator_loss": losses.generator_loss(scores_real.detach(), scores_made.detach()),
    }
    if nets.step % settings.penalty_every == 0:
        images = torch.cat([real, made]).requires_grad_(True)
        penalty = losses.gradient_penalty(images, nets.D(images, both))
        # Half gamma on each of R1 and R2, times the steps that it stands for.
        (share * gamma(settings, progress) * settings.penalty_every * penalty).backward()
        logged["penalty"] = penalty.detach()
    return shown.grad * slope[:, None, None, None], logged


def gamma(settings: ImageSettings, progress: float) -> float:
    """Geometric from start to end: strong smoothing early, sharp detail late."""
    start, end = settings.penalty_start, settings.penalty_end
    return start if start == end or start == 0 else start * (max(end, 1e-9) / start) ** progress


def set_rates(nets: State, progress: float) -> None:
    """Each phase warms up; the game's rates fall linearly in the second half of its time."""
    settings = nets.settings
    done = progress / settings.features_until if settings.features_until else 1.0
    for group in nets.opt_classifier.param_groups:  # up, then down to nothing (Smith 2018)
        group["lr"] = settings.feature_rate * max(0.0, min(done / 0.2, (1 - done) / 0.8, 1.0))
    playing = progress >= settings.critic_from
    middle = (1 + settings.critic_from) / 2
    falling = 1.0 if progress < middle else max(0.02, (1 - progress) / (1 - middle))
    since_start = (progress - settings.features_until) / 0.02
    since_critic = (progress - settings.critic_from) / 0.02
    for optimizer, rate, warm, beta1 in (
        (nets.opt_G, settings.rate, since_start, settings.beta1 if playing else 0.9),
        (nets.opt_D, settings.critic_rate, since_critic, settings.beta1),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * falling * min(1.0, max(0.05, warm))
            group["betas"] = (beta1, settings.beta2)


@torch.no_grad()
def measure_critic(nets: State, data: LabelledImages) -> dict[str, float]:
    """Accuracy on held-out real images and as many fresh fakes of the same labels."""
    if len(data.held_out) < 4 or nets.features is None:
        return {}
    rng = np.random.default_rng((nets.seed, nets.step, 1))  # apart from the training's own numbers
    index = rng.choice(data.held_out, min(MEASURED, len(data.held_out)), replace=False)
    real, y = data.batch(index)
    numbers = torch.Generator().manual_seed(nets.seed + nets.step)
    noise = torch.randn(len(y), 1 + nets.settings.noise, generator=numbers)
    fake = nets.average["G"](nets.quick_prior()(noise, y), y)
    accuracy = critic_accuracy(nets.D(real, y), nets.D(fake, y))
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_pairs": accuracy.pairs,
    }


@torch.no_grad()
def preview(nets: State, prior: LatentPrior) -> NDArray[np.uint8]:
    """A row for each label, the same noise in each row and at each step."""
    labels = min(PREVIEW_ROWS, nets.settings.classes)
    numbers = torch.Generator().manual_seed(nets.seed)
    size = 1 + nets.settings.noise
    if labels == 1:
        noise = torch.randn(PREVIEW_COLUMNS**2, size, generator=numbers)
        y = torch.zeros(len(noise), dtype=torch.long)
    else:
        row = torch.randn(PREVIEW_COLUMNS, size, generator=numbers)
        noise, y = row.repeat(labels, 1), torch.arange(labels).repeat_interleave(PREVIEW_COLUMNS)
    return sheet(to_pixels(nets.average["G"](prior(noise, y), y)), PREVIEW_COLUMNS)
