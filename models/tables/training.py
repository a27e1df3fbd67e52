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

from models import chance
from models.checkpoint import flatten, pack, unflatten, unpack
from models.measures.critic import critic_accuracy
from models.microbatch import in_parts
from models.run import Run, Saved, check_finite
from models.tables import adversarial
from models.tables.beginning import encoding_of, keeping_rules
from models.tables.data import ENOUGH, MEASURED, Batches, LabelledRows
from models.tables.encoding import Encoding
from models.tables.generation import Stepper
from models.tables.networks import Generator, critic_of, generator_of
from models.tables.preview import Picture
from models.tables.settings import TableSettings

# Of rows chosen by the critic: the share that is kept for certain, at least, and how much likelier
# to be real than to be made the others of them are.
ALWAYS_KEPT, FAVOUR = 0.2, 4.0
# Products of matrices in bfloat16, where the processor has them: a third of the time.
HALF = torch.cpu._is_avx512_bf16_supported()


class Networks:
    """Everything that has state and must survive a restart."""

    def __init__(self, encoding: Encoding, settings: TableSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.encoding, self.settings = encoding, settings
        self.G = generator_of(encoding, settings)
        self.D = critic_of(encoding, settings)
        self.average = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.opt_G = torch.optim.AdamW(
            self.G.parameters(),
            settings.rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.decay,
            fused=True,
        )
        self.opt_D = torch.optim.AdamW(
            self.D.parameters(), settings.critic_rate, weight_decay=0.05, fused=True
        )
        self.step = 0
        self.at_once = settings.batch  # rows whose gradients fit into memory together
        self.lowest: float | None = None  # loss of held-out rows
        self.looks = 0  # at held-out rows since they last gained enough
        # The progress at which the generator's rate began to fall, and at which it was done.
        self.cooled_from: float | None = None
        self.learned_at: float | None = None
        # From which of the critic's scores on every row is kept; None: samples are not chosen.
        self.kept_from: float | None = None
        self.secret = 0  # of a run with differential privacy: what its noise comes from

    def parts(self) -> dict[str, Any]:
        names = ("G", "D", "average", "best", "opt_G", "opt_D")
        return {name: getattr(self, name) for name in names}

    def numbers(self) -> dict[str, Any]:
        names = ("step", "at_once", "lowest", "looks", "cooled_from", "learned_at", "kept_from")
        return {name: getattr(self, name) for name in (*names, "secret")}

    def pack_state(self) -> bytes:
        tree = {name: dict(part.state_dict()) for name, part in self.parts().items()}
        tensors, rest = flatten(tree, "state")
        header = {"kind": "rows.state", "numbers": self.numbers(), "tree": rest}
        return self._packed(tensors, header)

    def load_state(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, part in self.parts().items():
            part.load_state_dict(tree[name])
        for name, number in header["numbers"].items():
            setattr(self, name, number)

    def pack_model(self) -> bytes:
        config = self.settings.to_dict()
        header = {"kind": "rows", "step": self.step, "config": config}
        tensors = {f"generator.{n}": t for n, t in self.best.state_dict().items()}
        if self.kept_from is not None:
            header["kept_from"] = self.kept_from
            tensors |= {f"critic.{n}": t for n, t in self.D.state_dict().items()}
        return self._packed(tensors, header)

    def _packed(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> bytes:
        about, arrays = self.encoding.to_tensors()
        return pack(tensors | arrays, {**header, "encoding": about})

    def pack(self) -> Saved:
        parameters = sum(weight.numel() for weight in self.best.parameters())
        return Saved(self.pack_state(), self.pack_model(), parameters)

    def maker(self, network: Generator) -> Stepper:
        return Stepper(network, self.encoding.digits, self.encoding.draws)

    def update_average(self) -> None:
        """Short memory at first, then `average`."""
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()), 1 - decay)


def train(
    rows: LabelledRows, settings: TableSettings, run: Run, *, seed: int, state: Path | None = None
) -> None:
    """Train until `run.progress` is 1, or nothing is left to learn; goes on from `state` if there
    is one.

    Every step's randomness comes from (seed, step): a resumed run equals an unbroken one. Raises
    UnfitColumn, naming the column.
    """
    if settings.rules:
        rows = keeping_rules(rows, settings, run)
    loop = adversarial.train if settings.architecture == "mlp" else train_by_likelihood
    loop(rows, settings, run, seed=seed, state=state)


def train_by_likelihood(
    rows: LabelledRows, settings: TableSettings, run: Run, *, seed: int, state: Path | None
) -> None:
    """The generator first, then the critic."""
    encoding = encoding_of(rows, settings, seed, state)
    nets = Networks(encoding, settings, seed)
    tokens = torch.from_numpy(encoding.encode(rows.part(rows.train), seed))
    held_out = torch.from_numpy(encoding.encode(rows.part(rows.held_out[:MEASURED]), seed))
    batches = Batches(tokens, settings.batch, seed)
    begin(nets, tokens, state)
    made: Stepper | None = None
    picture = Picture.of(rows, encoding, settings.min_count)

    while (progress := run.progress(nets.step)) < 1:
        if run.wants_preview(nets.step):
            run.preview(nets.step, picture.draw(nets.maker(nets.average), seed))
        if run.wants_checkpoint(nets.step):
            run.save(nets.step, nets.pack())
        chance.begin_step(seed, nets.step)
        real = batches.at(nets.step)
        look = (nets.step + 1) % settings.measure_every == 0

        if nets.learned_at is None:
            share = cooled(nets, progress)
            logged = generator_step(nets, real, share, run)
            if look or share >= 1:
                logged |= keep_best(nets, held_out)
            if share >= 1:
                nets.learned_at = progress
        else:
            until = nets.learned_at / (1 - settings.critic_share)
            if progress >= until:
                break
            made = made or Stepper(nets.best, encoding.digits)
            share = (progress - nets.learned_at) / (until - nets.learned_at)
            fake = made.tokens(torch.rand(real.shape), {})
            logged = critic_step(nets, real, fake, share, run)

        numbers = check_finite(nets.step, logged)
        if look:
            run.report(nets.step, numbers)

    if nets.learned_at is None:
        keep_best(nets, held_out)
    run.report(nets.step, verdict(nets, held_out, seed))
    run.preview(nets.step, picture.draw(nets.maker(nets.best), seed))
    run.save(nets.step, nets.pack())


def cooled(nets: Networks, progress: float) -> float:
    """How far the generator's rate has fallen, from 0 to 1. It begins to when held-out rows gain
    little, and in any case in time for the end of the generator's share of the budget."""
    settings = nets.settings
    latest = (1 - settings.critic_share) * (1 - settings.cooling)
    if nets.cooled_from is None and (nets.looks >= settings.patience or progress >= latest):
        nets.cooled_from = min(progress, latest)
    if nets.cooled_from is None:
        return 0.0
    length = nets.cooled_from * settings.cooling / (1 - settings.cooling)
    return (progress - nets.cooled_from) / max(length, 1e-9)


def generator_step(nets: Networks, real: Tensor, fallen: float, run: Run) -> dict[str, Tensor]:
    """Every token of a real row likelier, given those before."""

    order = random_order(nets) if float(torch.rand(())) < nets.settings.any_order else None

    def loss_of(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            return nets.G.loss(rows, order)

    warm = min(1.0, (nets.step + 1) / nets.settings.warmup)
    set_rate(nets.opt_G, nets.settings.rate * min(warm, max(1 - fallen, 1e-3)))
    nets.G.train()
    loss = gradients_in_parts(nets, nets.opt_G, loss_of, (real,), run)
    nets.opt_G.step()
    nets.step += 1
    nets.update_average()
    return {"generator_loss": loss}


def random_order(nets: Networks) -> Tensor:
    """(S,): when each step is made. Columns come in any order, the steps of each one after the
    other."""
    columns = nets.encoding.columns
    names = [columns[i].name for i in torch.randperm(len(columns))]
    return torch.tensor(nets.encoding.steps_of(names)).argsort()


def critic_step(
    nets: Networks, real: Tensor, fake: Tensor, share: float, run: Run
) -> dict[str, Tensor]:
    """Real rows above made ones, by the logistic loss: the score is the log of how much likelier a
    row is to be real (Goodfellow et al. 2014, 1406.2661)."""

    def loss_of(real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-nets.D(real)).mean() + F.softplus(nets.D(fake)).mean()

    set_rate(nets.opt_D, nets.settings.critic_rate * cosine(share))
    nets.D.train()
    loss = gradients_in_parts(nets, nets.opt_D, loss_of, (real, fake), run)
    nets.opt_D.step()
    nets.step += 1
    return {"critic_loss": loss}


def gradients_in_parts(
    nets: Networks,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[..., Tensor],
    batches: tuple[Tensor, ...],
    run: Run,
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

    nets.at_once = min(nets.at_once, batches[0].shape[1])
    turned = tuple(batch.T for batch in batches)
    nets.at_once, logged = in_parts(turned, nets.at_once, begin, add, nets.step, run)
    return logged["loss"]


def begin(nets: Networks, tokens: Tensor, state: Path | None) -> None:
    """From the state; or, given (S, N) tokens, knowing how common each one is and no more."""
    if state is not None:
        nets.load_state(state)
        return
    counted = zip(tokens, nets.encoding.sizes, strict=True)
    nets.G.heads.start_from([torch.bincount(row, minlength=size) for row, size in counted])
    for network in (nets.average, nets.best):
        network.load_state_dict(nets.G.state_dict())


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def cosine(share: float) -> float:
    """From 1 to nearly 0 (Loshchilov & Hutter 2017, 1608.03983)."""
    return max(0.5 * (1 + math.cos(math.pi * min(share, 1.0))), 1e-3)


@torch.no_grad()
def keep_best(nets: Networks, held_out: Tensor) -> dict[str, Tensor]:
    """Keep the averaged weights if rows that were never seen are likelier than ever before."""
    if held_out.shape[1] < ENOUGH:
        nets.best.load_state_dict(nets.average.state_dict())
        return {}
    parts = held_out.split(1024, dim=1)
    loss = (
        sum((nets.average.loss(part) * part.shape[1] for part in parts), start=torch.zeros(()))
        / held_out.shape[1]
    )
    before = math.inf if nets.lowest is None else nets.lowest
    gained = before - float(loss) > nets.settings.gain * abs(float(loss))
    nets.looks = 0 if gained else nets.looks + 1
    if float(loss) < before:
        nets.lowest = float(loss)
        nets.best.load_state_dict(nets.average.state_dict())
    return {"held_out_loss": loss}


@torch.no_grad()
def verdict(nets: Networks, held_out: Tensor, seed: int) -> dict[str, float]:
    """How well the critic tells held-out real rows from as many fresh ones; decides whether samples
    are chosen by it."""
    if held_out.shape[1] < ENOUGH:
        return {}
    noise = torch.Generator().manual_seed(seed + nets.step)
    u = torch.rand(held_out.shape, generator=noise)
    fake = Stepper(nets.best, nets.encoding.digits).tokens(u, {})
    nets.D.eval()
    scores = nets.D(fake)
    accuracy = critic_accuracy(nets.D(held_out), scores)
    deviation = math.sqrt(1 / (6 * held_out.shape[1]))  # of the share of pairs by chance alone
    chosen = accuracy.pairs > max(nets.settings.critic_from, 0.5 + 3 * deviation)
    kept_from = min(float(scores.quantile(1 - ALWAYS_KEPT)), math.log(FAVOUR))
    nets.kept_from = kept_from if chosen else None
    return {
        "critic_accuracy_real": accuracy.real,
        "critic_accuracy_fake": accuracy.fake,
        "critic_pairs": accuracy.pairs,
    }
