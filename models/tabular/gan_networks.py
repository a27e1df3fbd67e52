"""A row from noise in one piece, and the critic that pulls on it: the networks of a conditional GAN
(Goodfellow et al. 2014, 1406.2661; Mirza & Osindero 2014, 1411.1784) over mixed columns.

Shapes: B batch, Z noise, S steps, P discrete parts of a row, K choices of the largest part, N
numbers of a row, X features that the critic sees.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tabular.autoregressive_sampler import AllowedTokens
from models.tabular.categorical_columns import NO_SUB_BIN
from models.tabular.numeric_columns import NumericColumn
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer


class RowFeaturizer(nn.Module):
    """A row as features, and back to tokens.

    Every category is a choice among its tokens, digits included. A number is a choice among its
    exact_values, missing and "some number", and a place between 0 and 1 among those that are no exact_values. The
    label is no feature: both networks are told it.
    """

    start: Tensor  # (P, 1) first feature of each choice
    sizes: Tensor  # (P, 1)
    steps: Tensor  # (P,)
    shared: Tensor  # (P, 2) from which token on tokens are one choice, and how many they are
    numbers: Tensor  # (4, N): step, exact_values, groups, fine digits (1: none)
    part: Tensor  # (N,) the choice that goes with each number

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.num_labels = (
            tokenizer.columns[0].layout.step_sizes[0] if tokenizer.has_single_token_label else 0
        )
        choices: list[tuple[int, int, int, int]] = []  # step, size, shared from, so many
        numbers: list[tuple[int, int, int, int]] = []
        for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
            layout = column.layout
            if self.num_labels and steps.start == 0:
                continue
            if isinstance(column, NumericColumn):
                size = layout.exact_values + (layout.bins > 0) + layout.missing
                choices.append((steps.start, size, layout.exact_values, max(layout.bins, 1)))
                if layout.bins:
                    fine = layout.sub_bins[0] if layout.sub_bins else 1
                    numbers.append((steps.start, layout.exact_values, layout.bins, fine))
            else:
                sizes = enumerate(layout.step_sizes, start=steps.start)
                choices += [(step, size, size, 1) for step, size in sizes]
        table = torch.tensor(choices, dtype=torch.long).reshape(-1, 4)
        first = table[:, 0].contiguous()
        self.register_buffer("steps", first, persistent=False)
        self.register_buffer("sizes", table[:, 1:2], persistent=False)
        self.register_buffer("shared", table[:, 2:], persistent=False)
        self.register_buffer("start", table[:, 1:2].cumsum(0) - table[:, 1:2], persistent=False)
        places = torch.tensor(numbers, dtype=torch.long).reshape(-1, 4).T.contiguous()
        self.register_buffer("numbers", places, persistent=False)
        self.register_buffer("part", torch.searchsorted(first, places[0]), persistent=False)
        self.choices = int(table[:, 1].sum())
        self.num_steps = len(tokenizer.step_sizes)

    @property
    def num_features(self) -> int:
        """X."""
        return self.choices + self.numbers.shape[1]

    def from_tokens(self, tokens: Tensor, u: Tensor) -> Tensor:
        """(S, B) tokens and (N, B) numbers in (0, 1), for the places inside bins, to (B, X)."""
        since, many = self.shared[:, :1], self.shared[:, 1:]
        mine = tokens[self.steps]
        chosen = mine - (mine - since).clamp(torch.zeros_like(many), many - 1)
        features = torch.zeros(tokens.shape[1], self.num_features)
        features.scatter_(1, (self.start + chosen).T, 1.0)
        step, exact_values, groups, fine = self.numbers[..., None]
        first = tokens[step[:, 0]]
        digit = torch.where(fine > 1, tokens[(step[:, 0] + 1).clamp(max=self.num_steps - 1)] - 1, 0)
        place = (first - exact_values + (digit.clamp_min(0) + u) / fine) / groups
        inside = (first >= exact_values) & (first < exact_values + groups)
        features[:, self.choices :] = torch.where(inside, place * 2 - 1, 0.0).T
        return features

    def sample_choices(self, raw: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """(B, X) outputs of a network and (B, P) numbers in (0, 1) to features and (B, P) choices.

        Forward, a choice is drawn; backward, it passes the gradient on to the chances (straight
        through, Bengio et al. 2013, 1308.3432).
        """
        most = int(self.sizes.max()) if len(self.sizes) else 0
        within = torch.arange(most)
        real = within < self.sizes
        at = (self.start + within).clamp(max=max(self.choices - 1, 0))
        logits = raw[:, at.flatten()].view(-1, *at.shape).masked_fill(~real, -torch.inf)
        chances = torch.softmax(logits, 2)
        ends = chances.detach().cumsum(2)
        drawn = torch.searchsorted(ends, u[..., None] * ends[..., -1:] * (1 - 1e-6), right=True)
        hard = torch.zeros_like(chances).scatter_(2, drawn, 1.0)
        passed = (hard + chances - chances.detach())[:, real]
        places = torch.tanh(raw[:, self.choices :])
        known = self._has_number(drawn[..., 0])
        return torch.cat([passed, places * known], 1), drawn[..., 0]

    def _has_number(self, chosen: Tensor) -> Tensor:
        """(B, P) choices to (B, N): 1 where a number is no atom and not missing."""
        return (chosen[:, self.part] == self.numbers[1]).float()

    def to_tokens(self, features: Tensor, chosen: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Features, (B, P) choices and (B,) labels to (S, B) tokens and (N, B) places in bins."""
        tokens = torch.full((self.num_steps, len(chosen)), NO_SUB_BIN)
        if self.num_labels:
            tokens[0] = label
        since, many = self.shared[:, :1], self.shared[:, 1:]
        mine = chosen.T
        tokens[self.steps] = torch.where(mine > since, mine + many - 1, mine)
        step, exact_values, groups, fine = self.numbers[..., None]
        place = (features[:, self.choices :].T.double() + 1) / 2
        place = place.clamp(0, 1 - 1e-6) * groups
        inside = self._has_number(chosen).T.bool()
        first = torch.where(inside, exact_values + place.long(), tokens[step[:, 0]])
        tokens[step[:, 0]] = first
        rest = place % 1 * fine
        has = fine[:, 0] > 1
        tokens[step[has, 0] + 1] = torch.where(inside, rest.long() + 1, NO_SUB_BIN)[has]
        return tokens, rest % 1


class Generator(nn.Module):
    """(B, Z) noise and (B,) labels to (B, X) outputs, which `Parts.choose` makes a row of."""

    frequencies: Tensor

    def __init__(self, featurizer: RowFeaturizer, settings: TableSettings) -> None:
        super().__init__()
        hidden, labels = settings.hidden_dim, featurizer.num_labels
        self.label = nn.Embedding(max(labels, 1), hidden)
        self.first = nn.Linear(settings.latent_dim, hidden)
        self.second, self.third = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, featurizer.num_features)
        self.register_buffer("frequencies", torch.ones(max(labels, 1)))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(z) + self.label(label), 0.2)
        h = F.leaky_relu(self.second(h), 0.2)
        return self.last(F.leaky_relu(self.third(h), 0.2))


class Critic(nn.Module):
    """(B, X) features and (B,) labels to (B,) scores."""

    def __init__(self, featurizer: RowFeaturizer, settings: TableSettings) -> None:
        super().__init__()
        hidden = settings.hidden_dim
        self.label = nn.Embedding(max(featurizer.num_labels, 1), hidden)
        self.first = nn.Linear(featurizer.num_features, hidden)
        self.second, self.third = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(x) + self.label(label), 0.2)
        h = F.leaky_relu(self.second(h), 0.2)
        return self.last(F.leaky_relu(self.third(h), 0.2))[:, 0]


class GanSampler:
    """A generator and its parts, ready to make rows from numbers in (0, 1)."""

    def __init__(
        self, network: Generator, featurizer: RowFeaturizer, settings: TableSettings
    ) -> None:
        self._network, self._parts, self._noise = network, featurizer, settings.latent_dim
        self.num_uniforms = 1 + settings.latent_dim + len(featurizer.steps)

    @torch.no_grad()
    def sample(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        del order  # a row comes in one piece
        chances = self._network.frequencies
        if 0 in allowed and self._parts.num_labels:
            chances = chances * allowed[0]
        ends = chances.cumsum(0)
        label = torch.searchsorted(ends, u[0] * ends[-1] * (1 - 1e-6), right=True)
        z = torch.special.ndtri(u[1 : 1 + self._noise].clamp(1e-6, 1 - 1e-6)).T
        raw = self._network(z.contiguous(), label)
        features, chosen = self._parts.sample_choices(raw, u[1 + self._noise :].T.contiguous())
        return self._parts.to_tokens(features, chosen, label)
