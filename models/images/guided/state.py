"""Everything of a run that has state: what a checkpoint holds, so that a run can go on from it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import flatten, pack, unflatten, unpack
from models.images import scoring
from models.images.course import Course
from models.images.data import LabelledImages
from models.images.features import FeatureNetwork
from models.images.guided.networks import Critic, Encoder, Generator
from models.images.guided.prior import LatentPrior, covariance_within, fit_prior
from models.images.guided.settings import GuidedSettings
from models.images.learner import Draw
from models.images.weights import adamw, adopt, averaged, channels_last, follow, restore
from models.run import Saved

REMEMBERED = 4096  # noise of the images seen last, for the prior of previews and checkpoints
ENCODED = 30_000  # images that the prior of the finished model is fitted to


class State:
    """The networks, their averages and optimisers, the feature network and the step."""

    def __init__(self, settings: GuidedSettings, data: LabelledImages, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.data, self.seed, self.step = settings, data, seed, 0
        self.at_once = settings.batch  # images whose gradients fit into memory together
        self.features = FeatureNetwork(settings)
        self.G = channels_last(Generator(settings))
        self.E = Encoder(settings, self.features.classifier.second_size)
        self.D = channels_last(Critic(settings))
        self.average = averaged(nn.ModuleDict({"G": self.G, "E": self.E}))
        self.made_by = nn.ModuleDict({"G": self.G, "E": self.E})
        self.opt_G = adamw(self.made_by, settings.rate, 0.9)
        self.opt_D = adamw(self.D, settings.critic_rate, settings.beta1)
        self.seen_z = torch.zeros(REMEMBERED, settings.noise)
        self.seen_y = torch.zeros(REMEMBERED, dtype=torch.long)
        self.seen = 0
        # 1 / variance of pixels and of each level of features; empty until the features are learnt.
        self.scales = torch.empty(0)
        self.final: LatentPrior | None = None
        # Of the noise within a label, as the model of a warm start had it; empty without one.
        self.known = torch.empty(0)
        self.course = Course()
        self.calibration: Sequence[float] | None = None

    @property
    def noise_size(self) -> int:
        return 1 + self.settings.noise

    @property
    def is_alone(self) -> bool:
        return self.settings.critic_from == 1

    @property
    def until(self) -> float:
        return 1 - self.settings.prior_share

    def settle(self) -> None:
        torch.manual_seed(self.seed)
        train = self.data.train
        images, _ = self.data.batch(train[torch.randperm(len(train))[:512].sort().values])
        self.features.settle()
        assert self.features.frozen is not None  # noqa: S101 - just settled
        with torch.no_grad():
            levels = [images, *self.features.frozen.levels(images)]
        self.scales = torch.stack([1 / (level.var() + 1e-4) for level in levels])

    def remember(self, z: Tensor, y: Tensor) -> None:
        at = (self.seen + torch.arange(len(z))) % REMEMBERED
        self.seen_z[at], self.seen_y[at] = z, y
        self.seen += len(z)

    def prior(self) -> LatentPrior:
        """The fitted one; until then one Gaussian for each label, from the noise found on the
        way."""
        if self.final is not None:
            return self.final
        n = min(self.seen, REMEMBERED)
        if n == 0:  # nothing was encoded yet: the standard normal
            return LatentPrior(self.settings.classes, self.settings.classes, self.settings.noise)
        return self.fitted(self.seen_z[:n], self.seen_y[:n], components=1)

    def fitted(self, z: Tensor, y: Tensor, *, components: int, spread: float = 1.0) -> LatentPrior:
        known = self.known if len(self.known) else None
        return fit_prior(z, y, self.settings.classes, components, self.seed, spread, known)

    @torch.no_grad()
    def complete(self) -> None:
        """Fit a mixture for each label to what the averaged encoder finds in the images."""
        if self.features.frozen is None:
            return
        torch.manual_seed(self.seed)
        train = self.data.train
        order = torch.randperm(len(train))[:ENCODED].sort().values.numpy()
        found, labels = [], []
        for at in range(0, len(order), 500):
            images, y = self.data.batch(train[order[at : at + 500]])
            mean, log_variance = self.average["E"](self.features.frozen.encoded(images), y)
            found.append(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
            labels.append(y)
        settings = self.settings
        self.final = self.fitted(
            torch.cat(found),
            torch.cat(labels),
            components=settings.components,
            spread=settings.spread,
        )

    def draw(self) -> Draw:
        prior = self.prior()
        return lambda noise, y: self.average["G"](prior(noise, y), y)

    def update_average(self) -> None:
        follow(self.average, self.made_by, self.settings.average, self.step)

    def parts(self) -> dict[str, Any]:
        return {
            **self.features.parts(),
            "G": self.G,
            "E": self.E,
            "D": self.D,
            "average": self.average,
            "opt_G": self.opt_G,
            "opt_D": self.opt_D,
        }

    def pack(self) -> Saved:
        """Raises models.checkpoint.NonFiniteState."""
        tree: dict[str, Any] = {n: dict(part.state_dict()) for n, part in self.parts().items()}
        tree |= {name: getattr(self, name) for name in ("seen_z", "seen_y", "scales", "known")}
        tensors, rest = flatten(tree, "state")
        numbers = ("step", "seen", "at_once", "calibration")
        header = {
            "kind": "images.state",
            "numbers": {name: getattr(self, name) for name in numbers},
            "course": asdict(self.course),
            "features": self.features.state(),
            "tree": rest,
        }
        model = scoring.model_file(
            {"generator": self.average["G"], "prior": self.prior()},
            self.features,
            self.D,
            self.calibration,
            step=self.step,
            config=self.settings.to_dict(),
        )
        parameters = sum(weight.numel() for weight in self.average["G"].parameters())
        return Saved(pack(tensors, header), model, parameters)

    def load(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        restore(self.parts(), tree)
        for name in ("seen_z", "seen_y", "scales", "known"):
            setattr(self, name, tree[name].clone())
        self.course = Course(**header["course"])
        self.features.go_on(header["features"])
        for name, number in header["numbers"].items():
            setattr(self, name, number)

    def adopt(self, path: Path, labels: Sequence[int]) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name in ("G", "E", "D", "average"):
            adopt(getattr(self, name), tree[name], labels)
        if header["features"]["settled"]:
            self.features.adopt(tree["classifier"])
            self.scales = tree["scales"].clone()
        n = min(header["numbers"]["seen"], REMEMBERED)
        if n > 0:
            z, y = tree["seen_z"][:n].double(), tree["seen_y"][:n]
            self.known = covariance_within([z[y == label] for label in y.unique()], z).float()
