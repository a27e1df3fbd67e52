"""Networks of the autoregressive model of table rows: generator and critic.

Shapes: B rows of a batch, S steps of a row (one token each), K tokens of a step (padded to the
largest step of its group), D embedding width, H hidden width, F Fourier features of a position.
Token tensors are (S, B): with steps first, all steps share one batched matrix product.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.tabular.autoregressive.token_embeddings import (
    FREQUENCIES,
    FineEmbeddings,
    TokenEmbeddings,
    fourier_features,
)
from models.tabular.categorical_columns import NO_SUB_BIN
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer

# Steps with a number of tokens between the same two limits share one batched matrix product.
STEP_SIZE_LIMITS = (0, 4, 16, 64, 1 << 30)
NO_PENALTIES: Mapping[int, Tensor] = {}
MASKED_LOGIT = -1e9  # of padding: its probability is 0
# AdamW moves all parameters at about the same rate. Attention moves faster, so that a column soon
# ignores those that it does not depend on.
ATTENTION_SCALE = 4.0


class TokenHeads(nn.Module):
    """Output layers: (S, B, D) hidden states to logits over the next token of each step.

    The weight of a token is a free vector plus a linear map of the Fourier features of its
    position, `free + maps @ features`, so that neighboring numbers have similar logits. Steps of
    similar size form a group, are padded to one size and share one batched matrix product.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        positions: Sequence[NDArray[np.float64]],
        d: int,
        frequency_decay: float,
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.groups = [
            [i for i, k in enumerate(sizes) if low < k <= high]
            for low, high in pairwise(STEP_SIZE_LIMITS)
        ]
        self.groups = [group for group in self.groups if group]
        weights, maps, biases = [], [], []
        for n, group in enumerate(self.groups):
            max_size = max(sizes[i] for i in group)
            mask = torch.full((len(group), 1, max_size), MASKED_LOGIT)
            features = torch.zeros(len(group), 2 * FREQUENCIES + 1, max_size)
            for k, i in enumerate(group):
                mask[k, 0, : sizes[i]] = 0.0
                waves = fourier_features(positions[i], frequency_decay)
                features[k, :, : sizes[i]] = torch.from_numpy(waves.T)
            self.register_buffer(f"mask_{n}", mask, persistent=False)
            self.register_buffer(f"steps_{n}", torch.tensor(group), persistent=False)
            self.register_buffer(f"features_{n}", features, persistent=False)
            weights.append(nn.Parameter(torch.randn(len(group), d, max_size) * 0.1 / d**0.5))
            maps.append(nn.Parameter(torch.randn(len(group), d, features.shape[1]) * 0.1 / d**0.5))
            biases.append(nn.Parameter(torch.zeros(len(group), 1, max_size)))
        self.free, self.maps = nn.ParameterList(weights), nn.ParameterList(maps)
        self.biases = nn.ParameterList(biases)

    @torch.no_grad()
    def init_from_counts(self, token_counts: Sequence[Tensor]) -> None:
        """Set the biases to the log frequencies of each step's tokens.

        `token_counts` has a (K,) tensor for each step. The model starts as independent columns.
        """
        for bias, group in zip(self.biases, self.groups, strict=True):
            for k, i in enumerate(group):
                counts = token_counts[i].float() + 0.1  # unseen tokens keep some probability
                bias[k, 0, : self.sizes[i]] = (counts / counts.sum()).log()

    def head_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the (D, K) weights and (K,) biases of one step."""
        for n, group in enumerate(self.groups):
            if step in group:
                k, size = group.index(step), self.sizes[step]
                weights = torch.baddbmm(
                    self.free[n], self.maps[n], self.get_buffer(f"features_{n}")
                )
                bias = self.biases[n][k, 0, :size]
                return weights[k, :, :size].detach().contiguous(), bias.detach()
        raise IndexError(step)

    def forward(self, hidden: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Map (S, B, D) to each group's steps and their (steps, B, K) logits."""
        return [
            (
                steps := self.get_buffer(f"steps_{n}"),
                torch.baddbmm(
                    self.biases[n] + self.get_buffer(f"mask_{n}"),
                    hidden.index_select(0, steps),
                    torch.baddbmm(self.free[n], self.maps[n], self.get_buffer(f"features_{n}")),
                ),
            )
            for n in range(len(self.groups))
        ]


class Generator(nn.Module):
    """Autoregressive generator: p(row) is the product over steps of p(token | earlier tokens).

    Sources: Larochelle & Murray 2011 (NADE); Germain et al. 2015, 1502.03509. The context of step i
    is a weighted sum of the embeddings of the tokens before it. The weights are learned and the
    same for all rows (random attention of Tay et al. 2020, 2005.00743, without softmax); before
    training they are 1. Each step has its own residual block (He et al. 2016) and its own head:

        x = LayerNorm(start + sum over earlier steps j of attention[i, j] * embedding of token j)
        logits = head(x + W2 silu(W1 x + b1) + b2)

    All steps of a batch are computed at once.
    """

    before: Tensor  # (S, S): 1 where the step of the column comes before the step of the row
    is_sub_bin: Tensor  # (S, 1)

    def __init__(
        self,
        sizes: Sequence[int],
        positions: Sequence[NDArray[np.float64]],
        sub_bin_steps: Sequence[tuple[int, int, int] | None],
        fine_positions: Sequence[NDArray[np.float64] | None],
        *,
        embedding_dim: int,
        hidden_dim: int,
        dropout: float,
        frequency_decay: float,
    ) -> None:
        super().__init__()
        num_steps = len(sizes)
        self.tokens = TokenEmbeddings(sizes, positions, embedding_dim, frequency_decay)
        self.fine = FineEmbeddings(
            sizes, sub_bin_steps, fine_positions, embedding_dim, frequency_decay
        )
        self.start = nn.Parameter(torch.zeros(embedding_dim))
        self.attention_offsets = nn.Parameter(torch.zeros(num_steps, num_steps))
        self.norm = nn.LayerNorm(embedding_dim)
        self.w1 = nn.Parameter(
            torch.randn(num_steps, embedding_dim, hidden_dim) / embedding_dim**0.5
        )
        self.b1 = nn.Parameter(torch.zeros(num_steps, 1, hidden_dim))
        self.w2 = nn.Parameter(
            torch.randn(num_steps, hidden_dim, embedding_dim) * 0.5 / hidden_dim**0.5
        )
        self.b2 = nn.Parameter(torch.zeros(num_steps, 1, embedding_dim))
        self.heads = TokenHeads(sizes, positions, embedding_dim, frequency_decay)
        self.dropout = dropout
        self.register_buffer("before", torch.ones(num_steps, num_steps).tril(-1), persistent=False)
        is_sub_bin = torch.tensor([[step is not None] for step in sub_bin_steps])
        self.register_buffer("is_sub_bin", is_sub_bin, persistent=False)

    @property
    def attention(self) -> Tensor:
        """The (S, S) weights of the earlier steps (columns) in the context of a step (rows)."""
        return 1 + ATTENTION_SCALE * self.attention_offsets

    def forward(
        self,
        tokens: Tensor,
        order: Tensor | None = None,
        penalties: Mapping[int, Tensor] = NO_PENALTIES,
        *,
        reduction: Literal["none", "sum"] = "none",
    ) -> Tensor:
        """Return the (S, B) negative log-likelihoods of tokens given those before, or their sum.

        `order` (S,) is the rank of each step in the sampling order; by default steps are in order.
        `penalties` by step, each (B, K), are added to the logits.
        A sub-bin step of a row without a bin has nothing to predict: its loss is 0.
        """
        context = F.embedding(tokens + self.tokens.offsets, self.tokens())
        if len(self.fine.steps):
            context = context.index_add(0, self.fine.steps, self.fine(tokens).float())
        before = self.before if order is None else (order[:, None] > order).to(self.before)
        attention = before * self.attention
        context = (attention @ context.flatten(1)).float().view_as(context) + self.start
        x = F.dropout(self.norm(context), self.dropout, self.training)
        h = F.silu(torch.baddbmm(self.b1, x, self.w1))
        h = F.dropout(h, self.dropout, self.training)
        logits = self.heads(x + torch.baddbmm(self.b2, h, self.w2))
        targets = tokens.masked_fill((tokens == NO_SUB_BIN) & self.is_sub_bin, -100)
        losses = context.new_zeros(tokens.shape)
        for group, (steps, group_logits) in zip(self.heads.groups, logits, strict=True):
            for k, step in enumerate(group):
                if step in penalties:
                    group_logits[k, :, : self.heads.sizes[step]] += penalties[step]
            group_losses = F.cross_entropy(
                group_logits.flatten(0, 1).float(),
                targets[steps].flatten(),
                ignore_index=-100,
                reduction="none",
            )
            losses = losses.index_copy(0, steps, group_losses.view(len(steps), -1))
        return losses if reduction == "none" else losses.sum()


class Critic(nn.Module):
    """Discriminator of real and generated rows: (S, B) tokens to (B,) logits of being real."""

    def __init__(
        self,
        sizes: Sequence[int],
        positions: Sequence[NDArray[np.float64]],
        *,
        embedding_dim: int,
        hidden_dim: int,
        frequency_decay: float,
    ) -> None:
        super().__init__()
        self.tokens = TokenEmbeddings(sizes, positions, embedding_dim, frequency_decay)
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
        embedded = F.embedding(tokens + self.tokens.offsets, self.tokens())
        return self.net(embedded.permute(1, 0, 2).flatten(1))[:, 0]


def build_generator(tokenizer: Tokenizer, settings: TableSettings) -> Generator:
    return Generator(
        tokenizer.step_sizes,
        tokenizer.positions,
        tokenizer.sub_bin_steps,
        tokenizer.fine_positions,
        embedding_dim=settings.embedding_dim,
        hidden_dim=settings.hidden_dim,
        dropout=settings.dropout,
        frequency_decay=settings.frequency_decay,
    )


def build_critic(tokenizer: Tokenizer, settings: TableSettings) -> Critic:
    return Critic(
        tokenizer.step_sizes,
        tokenizer.positions,
        embedding_dim=settings.critic_width,
        hidden_dim=settings.critic_hidden,
        frequency_decay=settings.frequency_decay,
    )
