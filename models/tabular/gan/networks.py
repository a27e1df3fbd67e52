"""Networks of the conditional GAN over mixed columns, which generates a row in one pass.

Goodfellow et al. 2014, 1406.2661; Mirza & Osindero 2014, 1411.1784.

Shapes: B batch, Z latent dimension, S steps (tokens per row), P categorical choices per row, K
options of the largest choice, N numbers per row that have bins, X features of a row.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tabular.autoregressive.sampler import AllowedTokens
from models.tabular.categorical_columns import NO_SUB_BIN
from models.tabular.numbers.columns import NumericColumn
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer


class RowFeaturizer(nn.Module):
    """Conversion between tokens and the real-valued features that the networks use.

    Each step of a categorical column is a one-hot choice among its tokens. A numeric column is a
    one-hot choice among its exact values, "some other number" (all bins together) and missing; if
    it has bins, it also has a position in [-1, 1], which is 0 unless the choice is "some other
    number". A single-token label is not a feature: both networks receive it as a condition.
    """

    start: Tensor  # (P, 1) first feature of each choice
    sizes: Tensor  # (P, 1) options of each choice
    steps: Tensor  # (P,) the step of each choice
    shared: Tensor  # (P, 2) first token of those that share one option, and their number
    numbers: Tensor  # (4, N) step, number of exact values, bins, sub-bins per bin (1: none)
    number_choices: Tensor  # (N,) the choice of each number's column
    option_features: Tensor  # (P, K) feature of each option; padding repeats one
    is_option: Tensor  # (P, K) False for padding
    options: Tensor  # (num_choice_features,) indices of the options among P * K
    sub_bin_numbers: Tensor  # (M,) numbers whose bins have sub-bins

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.num_labels = (
            tokenizer.columns[0].layout.step_sizes[0] if tokenizer.has_single_token_label else 0
        )
        # Step, size, first shared token, number of shared tokens.
        choices: list[tuple[int, int, int, int]] = []
        numbers: list[tuple[int, int, int, int]] = []
        for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
            layout = column.layout
            if self.num_labels and steps.start == 0:
                continue
            if isinstance(column, NumericColumn):
                size = layout.exact_values + (layout.bins > 0) + layout.missing
                choices.append((steps.start, size, layout.exact_values, max(layout.bins, 1)))
                if layout.bins:
                    sub_bins = layout.sub_bins[0] if layout.sub_bins else 1
                    numbers.append((steps.start, layout.exact_values, layout.bins, sub_bins))
            else:
                sizes = enumerate(layout.step_sizes, start=steps.start)
                choices += [(step, size, size, 1) for step, size in sizes]
        choice_table = torch.tensor(choices, dtype=torch.long).reshape(-1, 4)
        choice_steps = choice_table[:, 0].contiguous()
        self.register_buffer("steps", choice_steps, persistent=False)
        self.register_buffer("sizes", choice_table[:, 1:2], persistent=False)
        self.register_buffer("shared", choice_table[:, 2:], persistent=False)
        self.register_buffer(
            "start", choice_table[:, 1:2].cumsum(0) - choice_table[:, 1:2], persistent=False
        )
        number_table = torch.tensor(numbers, dtype=torch.long).reshape(-1, 4).T.contiguous()
        self.register_buffer("numbers", number_table, persistent=False)
        self.register_buffer(
            "number_choices", torch.searchsorted(choice_steps, number_table[0]), persistent=False
        )
        self.num_choice_features = int(choice_table[:, 1].sum())
        self.num_features = self.num_choice_features + self.numbers.shape[1]  # X
        # Computed once: a shape that depends on values on a GPU would make each step wait for it.
        option = torch.arange(int(self.sizes.max()) if len(self.sizes) else 0)
        is_option = option < self.sizes
        self.register_buffer("is_option", is_option, persistent=False)
        self.register_buffer("options", is_option.flatten().nonzero()[:, 0], persistent=False)
        option_features = (self.start + option).clamp(max=max(self.num_choice_features - 1, 0))
        self.register_buffer("option_features", option_features, persistent=False)
        sub_bin_numbers = (number_table[3] > 1).nonzero()[:, 0]
        self.register_buffer("sub_bin_numbers", sub_bin_numbers, persistent=False)
        self.num_steps = len(tokenizer.step_sizes)

    def from_tokens(self, tokens: Tensor, u: Tensor) -> Tensor:
        """Map (S, B) tokens to (B, X) features.

        `u` (N, B) are uniforms: the positions within bins, which tokens do not determine.
        """
        shared_start, num_shared = self.shared[:, :1], self.shared[:, 1:]
        choice_tokens = tokens[self.steps]
        options = choice_tokens - (choice_tokens - shared_start).clamp(
            torch.zeros_like(num_shared), num_shared - 1
        )
        features = torch.zeros(tokens.shape[1], self.num_features, device=tokens.device)
        features.scatter_(1, (self.start + options).T, 1.0)
        step, exact_values, bins, sub_bins = self.numbers[..., None]
        first = tokens[step[:, 0]]
        sub_bin = torch.where(
            sub_bins > 1, tokens[(step[:, 0] + 1).clamp(max=self.num_steps - 1)] - 1, 0
        )
        position = (first - exact_values + (sub_bin.clamp_min(0) + u) / sub_bins) / bins
        inside = (first >= exact_values) & (first < exact_values + bins)
        features[:, self.num_choice_features :] = torch.where(inside, position * 2 - 1, 0.0).T
        return features

    def sample_choices(self, raw: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, X) generator outputs to (B, X) features and the (B, P) sampled options.

        `u` (B, P) are uniforms. Forward, the option of each choice is sampled from its softmax;
        backward, the gradient passes to the probabilities unchanged (straight-through estimator,
        Bengio et al. 2013, 1308.3432).
        """
        logits = (
            raw[:, self.option_features.flatten()]
            .view(-1, *self.option_features.shape)
            .masked_fill(~self.is_option, -torch.inf)
        )
        probs = torch.softmax(logits, 2)
        cdf = probs.detach().cumsum(2)
        sampled = torch.searchsorted(cdf, u[..., None] * cdf[..., -1:] * (1 - 1e-6), right=True)
        one_hot = torch.zeros_like(probs).scatter_(2, sampled, 1.0)
        straight_through = (one_hot + probs - probs.detach()).flatten(1)[:, self.options]
        positions = torch.tanh(raw[:, self.num_choice_features :])
        has_number = self._has_number(sampled[..., 0])
        return torch.cat([straight_through, positions * has_number], 1), sampled[..., 0]

    def _has_number(self, options: Tensor) -> Tensor:
        """Return (B, N) from (B, P) options: 1 where a number is in a bin."""
        return (options[:, self.number_choices] == self.numbers[1]).float()

    def to_tokens(self, features: Tensor, options: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Map features, (B, P) options and (B,) labels to tokens and positions within bins.

        Returns (S, B) tokens and (N, B) positions in [0, 1).
        """
        shape = self.num_steps, len(options)
        tokens = torch.full(shape, NO_SUB_BIN, device=options.device)
        if self.num_labels:
            tokens[0] = label
        shared_start, num_shared = self.shared[:, :1], self.shared[:, 1:]
        choice_options = options.T
        tokens[self.steps] = torch.where(
            choice_options > shared_start, choice_options + num_shared - 1, choice_options
        )
        step, exact_values, bins, sub_bins = self.numbers[..., None]
        position = (features[:, self.num_choice_features :].T.double() + 1) / 2
        position = position.clamp(0, 1 - 1e-6) * bins
        is_in_bin = self._has_number(options).T.bool()
        first = torch.where(is_in_bin, exact_values + position.long(), tokens[step[:, 0]])
        tokens[step[:, 0]] = first
        sub_position = position % 1 * sub_bins
        sub_bin = torch.where(is_in_bin, sub_position.long() + 1, NO_SUB_BIN)
        tokens[step[self.sub_bin_numbers, 0] + 1] = sub_bin[self.sub_bin_numbers]
        return tokens, sub_position % 1


class Generator(nn.Module):
    """Map (B, Z) latents and (B,) labels to (B, X) outputs, the input of `sample_choices`.

    A multilayer perceptron; the label enters as an embedding added to the first layer.
    """

    frequencies: Tensor  # (labels,) counts in the training rows: the weights of the labels

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
    """Discriminator: (B, X) features and (B,) labels to (B,) scores, higher for real rows."""

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
    """A generator and its featurizer, which turn uniforms into tokens."""

    def __init__(
        self, network: Generator, featurizer: RowFeaturizer, settings: TableSettings
    ) -> None:
        self._network, self._featurizer, self._latent_dim = network, featurizer, settings.latent_dim
        self.num_uniforms = 1 + settings.latent_dim + len(featurizer.steps)
        self.device = network.frequencies.device

    @torch.no_grad()
    def sample(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        del order  # a row is generated in one pass
        label_weights = self._network.frequencies
        if 0 in allowed and self._featurizer.num_labels:
            label_weights = label_weights * allowed[0]
        cdf = label_weights.cumsum(0)
        label = torch.searchsorted(cdf, u[0] * cdf[-1] * (1 - 1e-6), right=True)
        z = torch.special.ndtri(u[1 : 1 + self._latent_dim].clamp(1e-6, 1 - 1e-6)).T
        raw = self._network(z.contiguous(), label)
        features, options = self._featurizer.sample_choices(
            raw, u[1 + self._latent_dim :].T.contiguous()
        )
        return self._featurizer.to_tokens(features, options, label)
