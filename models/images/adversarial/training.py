"""A generator that learns from nothing but its critic (Goodfellow et al. 2014, 1406.2661), both
told the label (Mirza & Osindero 2014, 1411.1784)."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import chance, losses
from models.checkpoint import flatten, pack, unflatten, unpack
from models.images import scoring
from models.images.adversarial import networks
from models.images.adversarial.settings import AdversarialSettings
from models.images.course import Course
from models.images.features import FeatureNetwork
from models.images.learner import Draw
from models.images.penalty import gamma
from models.images.weights import adamw, adopt, averaged, channels_last, follow, restore
from models.microbatch import in_parts
from models.run import Run, Saved


class Adversarial:
    """As models.images.learner.Learner. The feature network only measures."""

    def __init__(self, settings: AdversarialSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.seed, self.step = settings, seed, 0
        self.at_once = settings.batch
        self.features = FeatureNetwork(settings)
        made_of = networks.named(settings.architecture)
        self.G = channels_last(made_of.generator(settings))
        self.D = channels_last(made_of.critic(settings))
        self.average = averaged(self.G)
        self.opt_G = adamw(self.G, settings.rate, settings.beta1)
        self.opt_D = adamw(self.D, settings.critic_rate, settings.beta1)
        self.loss = losses.named(settings.loss)
        self.course = Course()
        self.calibration: Sequence[float] | None = None

    @property
    def noise_size(self) -> int:
        return self.settings.noise

    def settle(self) -> None:
        self.features.settle()

    @property
    def is_alone(self) -> bool:
        return False

    @property
    def until(self) -> float:
        return 1.0

    def complete(self) -> None:
        """Nothing is left to do."""

    def learn(self, images: Tensor, y: Tensor, progress: float, run: Run) -> dict[str, Tensor]:
        settings = self.settings
        falling = min(1.0, max(0.02, 2 * (1 - progress)))
        for optimizer, rate in ((self.opt_G, settings.rate), (self.opt_D, settings.critic_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * falling
                group["betas"] = (settings.beta1, settings.beta2)

        def begin() -> None:
            chance.begin_step(self.seed, self.step)
            for optimizer in (self.opt_G, self.opt_D):
                optimizer.zero_grad(set_to_none=True)

        def add(images: Tensor, y: Tensor, share: float) -> dict[str, Tensor]:
            return self.gradients(images, y, progress, share)

        self.at_once, logged = in_parts((images, y), self.at_once, begin, add, self.step, run)
        self.opt_G.step()
        self.opt_D.step()
        follow(self.average, self.G, settings.average, self.step)
        return logged

    def gradients(
        self, real: Tensor, y: Tensor, progress: float, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Add the gradients of both sides, for `share` of a batch; no parameter changes."""
        made = self.G(torch.randn(len(y), self.settings.noise), y)
        shown = made.detach().requires_grad_(True)
        turn = losses.critic_turn(self.loss, self.D(real, y), self.D(shown, y), shown, share)
        (share * (made * turn.pull).sum()).backward()
        logged = {"critic_loss": turn.critic, "generator_loss": turn.generator}
        weight = gamma(self.settings, progress)
        if weight > 0 and self.step % self.settings.penalty_every == 0:
            images = torch.cat([real, made.detach()]).requires_grad_(True)
            penalty = losses.gradient_penalty(images, self.D(images, torch.cat([y, y])))
            (share * weight * self.settings.penalty_every * penalty).backward()
            logged["penalty"] = penalty.detach()
        return logged

    def draw(self) -> Draw:
        return self.average

    def parts(self) -> dict[str, Any]:
        return {
            **self.features.parts(),
            "G": self.G,
            "D": self.D,
            "average": self.average,
            "opt_G": self.opt_G,
            "opt_D": self.opt_D,
        }

    def pack(self) -> Saved:
        tensors, rest = flatten(
            {name: dict(part.state_dict()) for name, part in self.parts().items()}, "state"
        )
        header = {
            "kind": "images.state",
            "numbers": {name: getattr(self, name) for name in ("step", "at_once", "calibration")},
            "course": asdict(self.course),
            "features": self.features.state(),
            "tree": rest,
        }
        model = scoring.model_file(
            {"generator": self.average},
            self.features,
            self.D,
            self.calibration,
            step=self.step,
            config=self.settings.to_dict(),
        )
        parameters = sum(weight.numel() for weight in self.average.parameters())
        return Saved(pack(tensors, header), model, parameters)

    def load(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        restore(self.parts(), tree)
        self.course = Course(**header["course"])
        self.features.go_on(header["features"])
        for name, number in header["numbers"].items():
            setattr(self, name, number)

    def adopt(self, path: Path, labels: Sequence[int]) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name in ("G", "D", "average"):
            adopt(getattr(self, name), tree[name], labels)
        if header["features"]["settled"]:
            self.features.adopt(tree["classifier"])
