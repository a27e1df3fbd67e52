"""The networks of a run on table rows.

Shapes: B batch, S steps of a row's sequence, K tokens of a step (padded to the largest of its
group), D width, H hidden width, F features of a position. Tokens are (S, B): steps come first, so
that the work on all of them is one batched matrix product.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.tabular.categorical_columns import NO_SUB_BIN
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer

FREQUENCIES = 8
STEP_SIZE_LIMITS = (0, 4, 16, 64, 1 << 30)  # steps of like size share one matrix product
MASKED_LOGIT = -1e9  # the logit of a token that is none


def fourier_features(positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(K,) positions in [0, 1] to (K, F); zeros where there is no position (Tancik et al. 2020,
    2006.10739)."""
    there = ~np.isnan(positions)
    at = np.nan_to_num(positions)[:, None]
    angles = at * (2.0 ** np.arange(FREQUENCIES) * np.pi / 2)
    features = np.concatenate([np.sin(angles), np.cos(angles), at * 2 - 1], axis=1)
    return (features * there[:, None]).astype(np.float32)


class TokenEmbeddings(nn.Module):
    """An embedding for each token of each step; neighbouring numbers have neighbouring ones."""

    offsets: Tensor
    features: Tensor
    rows: Tensor
    padded: Tensor

    def __init__(self, sizes: Sequence[int], positions: Sequence[NDArray[np.float64]], d: int):
        super().__init__()
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        self.register_buffer("offsets", torch.from_numpy(offsets[:-1, None]), persistent=False)
        self.free = nn.Parameter(torch.randn(int(offsets[-1]), d) * 0.3)
        placed = [i for i, p in enumerate(positions) if not np.isnan(p).all()]
        most = max((sizes[i] for i in placed), default=1)
        features = np.zeros((len(placed), most, 2 * FREQUENCIES + 1), np.float32)
        rows, padded = [], []
        for k, i in enumerate(placed):
            features[k, : sizes[i]] = fourier_features(positions[i])
            rows.append(np.arange(offsets[i], offsets[i + 1]))
            padded.append(k * most + np.arange(sizes[i]))
            with torch.no_grad():
                self.free[offsets[i] : offsets[i + 1]] *= 0.1
        self.register_buffer("features", torch.from_numpy(features), persistent=False)
        self.register_buffer("rows", _index(rows), persistent=False)
        self.register_buffer("padded", _index(padded), persistent=False)
        self.maps = nn.Parameter(torch.randn(len(placed), features.shape[2], d) * 0.15)

    def table(self) -> Tensor:
        """(sum of K, D)."""
        if not len(self.maps):
            return self.free
        placed = torch.bmm(self.features, self.maps).flatten(0, 1)[self.padded]
        return self.free.index_add(0, self.rows, placed.float())

    def forward(self, tokens: Tensor) -> Tensor:
        """(S, B) to (S, B, D)."""
        return F.embedding(tokens + self.offsets, self.table())


def _index(parts: list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *parts]))


class TokenHeads(nn.Module):
    """From what is known of a row to logits over the next token, for each step; neighbouring
    numbers have neighbouring logits."""

    def __init__(
        self, sizes: Sequence[int], positions: Sequence[NDArray[np.float64]], d: int
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.groups = [
            [i for i, k in enumerate(sizes) if low < k <= high]
            for low, high in pairwise(STEP_SIZE_LIMITS)
        ]
        self.groups = [group for group in self.groups if group]
        weights, maps, biases = [], [], []
        for number, group in enumerate(self.groups):
            most = max(sizes[i] for i in group)
            bias = torch.full((len(group), 1, most), MASKED_LOGIT)
            features = torch.zeros(len(group), 2 * FREQUENCIES + 1, most)
            for k, i in enumerate(group):
                bias[k, 0, : sizes[i]] = 0.0
                features[k, :, : sizes[i]] = torch.from_numpy(fourier_features(positions[i]).T)
            self.register_buffer(f"possible_{number}", bias, persistent=False)
            self.register_buffer(f"steps_{number}", torch.tensor(group), persistent=False)
            self.register_buffer(f"features_{number}", features, persistent=False)
            weights.append(nn.Parameter(torch.randn(len(group), d, most) * 0.1 / d**0.5))
            maps.append(nn.Parameter(torch.randn(len(group), d, features.shape[1]) * 0.1 / d**0.5))
            biases.append(nn.Parameter(torch.zeros(len(group), 1, most)))
        self.free, self.maps = nn.ParameterList(weights), nn.ParameterList(maps)
        self.biases = nn.ParameterList(biases)

    def weight(self, n: int) -> Tensor:
        """(steps, D, K) of a group."""
        return torch.baddbmm(self.free[n], self.maps[n], self.get_buffer(f"features_{n}"))

    @torch.no_grad()
    def init_from_counts(self, counted: Sequence[Tensor]) -> None:
        """Begin with each step's own frequencies: how often its (K,) tokens were seen."""
        for bias, group in zip(self.biases, self.groups, strict=True):
            for k, i in enumerate(group):
                counts = counted[i].float() + 0.1
                bias[k, 0, : self.sizes[i]] = (counts / counts.sum()).log()

    def head_at(self, step: int) -> tuple[Tensor, Tensor]:
        """(D, K) weights and (K,) biases of one step."""
        for n, group in enumerate(self.groups):
            if step in group:
                k, size = group.index(step), self.sizes[step]
                weight, bias = self.weight(n)[k, :, :size], self.biases[n][k, 0, :size]
                return weight.detach().contiguous(), bias.detach()
        raise IndexError(step)

    def forward(self, hidden: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(S, B, D) to, for each group, its steps and their (steps, B, K) logits."""
        return [
            (
                steps := self.get_buffer(f"steps_{n}"),
                torch.baddbmm(
                    self.biases[n] + self.get_buffer(f"possible_{n}"),
                    hidden.index_select(0, steps),
                    self.weight(n),
                ),
            )
            for n in range(len(self.groups))
        ]


class Generator(nn.Module):
    """A row made step by step, each from those before: the distribution of a row as a product of
    conditional ones (Larochelle & Murray 2011, NADE; Germain et al. 2015, 1502.03509).

    What is known is the sum of the embeddings of the tokens so far; every step reads it through a
    residual network of its own (He et al. 2016), and all steps of a batch are computed at once.
    """

    before: Tensor
    is_digit: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        positions: Sequence[NDArray[np.float64]],
        sub_bin_steps: Sequence[object | None],
        *,
        embedding_dim: int,
        hidden_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        s = len(sizes)
        self.tokens = TokenEmbeddings(sizes, positions, embedding_dim)
        self.start = nn.Parameter(torch.zeros(embedding_dim))
        self.norm = nn.LayerNorm(embedding_dim)
        self.w1 = nn.Parameter(torch.randn(s, embedding_dim, hidden_dim) / embedding_dim**0.5)
        self.b1 = nn.Parameter(torch.zeros(s, 1, hidden_dim))
        self.w2 = nn.Parameter(torch.randn(s, hidden_dim, embedding_dim) * 0.5 / hidden_dim**0.5)
        self.b2 = nn.Parameter(torch.zeros(s, 1, embedding_dim))
        self.heads = TokenHeads(sizes, positions, embedding_dim)
        self.dropout = dropout
        self.register_buffer("before", torch.ones(s, s).tril(-1), persistent=False)
        is_digit = torch.tensor([[digit is not None] for digit in sub_bin_steps])
        self.register_buffer("is_digit", is_digit, persistent=False)

    def forward(self, tokens: Tensor, order: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """(S, B) tokens to the logits of each of them, by groups of steps as `Heads` gives them.
        `order` (S,) says when each step is made, if not one after the other."""
        known = self.tokens(tokens)
        before = self.before if order is None else (order[:, None] > order).to(self.before)
        known = (before @ known.flatten(1)).float().view_as(known) + self.start
        x = F.dropout(self.norm(known), self.dropout, self.training)
        h = F.silu(torch.baddbmm(self.b1, x, self.w1))
        h = F.dropout(h, self.dropout, self.training)
        return self.heads(x + torch.baddbmm(self.b2, h, self.w2))

    def loss(self, tokens: Tensor, order: Tensor | None = None) -> Tensor:
        """The mean over B of minus the log-likelihood of a row. Where a digit has no group there is
        nothing to tell."""
        targets = tokens.masked_fill((tokens == NO_SUB_BIN) & self.is_digit, -100)
        return (
            sum(
                (
                    F.cross_entropy(
                        logits.flatten(0, 1).float(),
                        targets[steps].flatten(),
                        ignore_index=-100,
                        reduction="sum",
                    )
                    for steps, logits in self(tokens, order)
                ),
                start=torch.zeros(()),
            )
            / tokens.shape[1]
        )


class Critic(nn.Module):
    """Tells real rows from generated ones: (S, B) tokens to (B,) scores."""

    def __init__(
        self,
        sizes: Sequence[int],
        positions: Sequence[NDArray[np.float64]],
        *,
        embedding_dim: int,
        hidden_dim: int,
    ) -> None:
        super().__init__()
        self.tokens = TokenEmbeddings(sizes, positions, embedding_dim)
        self.net = nn.Sequential(
            nn.Linear(embedding_dim * len(sizes), hidden_dim),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(hidden_dim, 1),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(self.tokens(tokens).permute(1, 0, 2).flatten(1))[:, 0]


def build_generator(tokenizer: Tokenizer, settings: TableSettings) -> Generator:
    return Generator(
        tokenizer.step_sizes,
        tokenizer.positions,
        tokenizer.sub_bin_steps,
        embedding_dim=settings.embedding_dim,
        hidden_dim=settings.hidden_dim,
        dropout=settings.dropout,
    )


def build_critic(tokenizer: Tokenizer, settings: TableSettings) -> Critic:
    return Critic(
        tokenizer.step_sizes,
        tokenizer.positions,
        embedding_dim=settings.critic_width,
        hidden_dim=settings.critic_hidden,
    )
