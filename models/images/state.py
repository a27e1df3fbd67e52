"""Everything of a run that has state: what a checkpoint holds, so that a run can go on from it."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import flatten, pack, unflatten, unpack
from models.images.data import LabelledImages
from models.images.networks import Classifier, Critic, Encoder, Generator, channels_last
from models.images.prior import LatentPrior, fit_prior
from models.images.settings import ImageSettings
from models.run import Saved

REMEMBERED = 4096  # noise of the images seen last, for the prior of previews and checkpoints
ENCODED = 30_000  # images that the prior of the finished model is fitted to
FLIPS = 4  # tasks of the feature network when there are no labels to learn


class State:
    """The networks, their averages and optimisers, the feature network and the step."""

    def __init__(self, settings: ImageSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.seed, self.step = settings, seed, 0
        self.at_once = settings.batch  # images whose gradients fit into memory together
        tasks = settings.classes if settings.classes > 1 else FLIPS
        self.classifier = channels_last(Classifier(settings, tasks))
        self.G = channels_last(Generator(settings))
        self.E = Encoder(settings, self.classifier.second_size)
        self.D = channels_last(Critic(settings))
        self.average = averaged(nn.ModuleDict({"G": self.G, "E": self.E}))
        self.made_by = [*self.G.parameters(), *self.E.parameters()]
        self.opt_classifier = adamw(self.classifier, settings.feature_rate, 0.9, weight_decay=1e-2)
        self.opt_G = adamw(nn.ModuleList([self.G, self.E]), settings.rate, 0.9)
        self.opt_D = adamw(self.D, settings.critic_rate, settings.beta1)
        self.seen_z = torch.zeros(REMEMBERED, settings.noise)
        self.seen_y = torch.zeros(REMEMBERED, dtype=torch.long)
        self.seen = 0
        # 1 / variance of pixels and of each level of features; empty until the features are learnt.
        self.scales = torch.empty(0)
        self.features: Classifier | None = None

    def settle_features(self, data: LabelledImages) -> None:
        """End the first phase: the feature network stays as it is from here on."""
        torch.manual_seed(self.seed)
        images, _ = data.batch(data.train[torch.randperm(len(data.train))[:512].sort().values])
        self.features = self.classifier.frozen()
        with torch.no_grad():
            levels = [images, *self.features.levels(images)]
        self.scales = torch.stack([1 / (level.var() + 1e-4) for level in levels])

    def remember(self, z: Tensor, y: Tensor) -> None:
        at = (self.seen + torch.arange(len(z))) % REMEMBERED
        self.seen_z[at], self.seen_y[at] = z, y
        self.seen += len(z)

    def quick_prior(self) -> LatentPrior:
        """One Gaussian for each label, from the noise found on the way."""
        n = min(self.seen, REMEMBERED)
        if n == 0:  # nothing was encoded yet: the standard normal
            return LatentPrior(self.settings.classes, self.settings.classes, self.settings.noise)
        return fit_prior(self.seen_z[:n], self.seen_y[:n], self.settings.classes, 1, self.seed)

    @torch.no_grad()
    def final_prior(self, data: LabelledImages) -> LatentPrior:
        """A mixture for each label, from what the averaged encoder finds in the training images."""
        if self.features is None:
            return self.quick_prior()
        torch.manual_seed(self.seed)
        order = torch.randperm(len(data.train))[:ENCODED].sort().values.numpy()
        found, labels = [], []
        for at in range(0, len(order), 500):
            images, y = data.batch(data.train[order[at : at + 500]])
            mean, log_variance = self.average["E"](self.features.encoded(images), y)
            found.append(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
            labels.append(y)
        settings = self.settings
        return fit_prior(
            torch.cat(found), torch.cat(labels), settings.classes, settings.components, self.seed
        )

    def update_average(self) -> None:
        """Weights and the norms' running moments; short memory at first, then `average`."""
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        theirs = {"G": self.G, "E": self.E}
        for name, mine in self.average.items():
            pairs = [
                (a, b)
                for a, b in zip(
                    mine.state_dict().values(), theirs[name].state_dict().values(), strict=True
                )
                if a.is_floating_point()
            ]
            torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], 1 - decay)

    def parts(self) -> dict[str, Any]:
        return {
            "classifier": self.classifier,
            "G": self.G,
            "E": self.E,
            "D": self.D,
            "average": self.average,
            "opt_classifier": self.opt_classifier,
            "opt_G": self.opt_G,
            "opt_D": self.opt_D,
        }

    def pack(self, prior: LatentPrior) -> Saved:
        """Raises models.checkpoint.NonFiniteState."""
        tree: dict[str, Any] = {n: dict(part.state_dict()) for n, part in self.parts().items()}
        tree |= {"seen_z": self.seen_z, "seen_y": self.seen_y, "scales": self.scales}
        tensors, rest = flatten(tree, "state")
        numbers = {"step": self.step, "seen": self.seen, "at_once": self.at_once}
        header = {"kind": "images.state", "numbers": numbers, "tree": rest}
        drawn_by = nn.ModuleDict({"generator": self.average["G"], "prior": prior})
        model = pack(
            drawn_by.state_dict(),
            {"kind": "images", "step": self.step, "config": self.settings.to_dict()},
        )
        parameters = sum(weight.numel() for weight in self.average["G"].parameters())
        return Saved(pack(tensors, header), model, parameters)

    def load(self, path: Path) -> None:
        """Raises models.checkpoint.UnreadableCheckpoint."""
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name, part in self.parts().items():
            part.load_state_dict(tree[name])
            if isinstance(part, torch.optim.Optimizer):
                lay_out(part)
        self.seen_z, self.seen_y, self.scales = (
            tree[name].clone() for name in ("seen_z", "seen_y", "scales")
        )
        for name, number in header["numbers"].items():
            setattr(self, name, number)
        if len(self.scales):
            self.features = self.classifier.frozen()


def averaged(networks: nn.ModuleDict) -> nn.ModuleDict:
    return copy.deepcopy(networks).eval().requires_grad_(False)


def adamw(
    network: nn.Module, rate: float, beta1: float, *, weight_decay: float = 0.0
) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        network.parameters(), rate, betas=(beta1, 0.99), weight_decay=weight_decay, fused=True
    )


def lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Moments in the memory layout of their parameters: the fused step walks all of them in the
    order of memory, and a file keeps no layout."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)
