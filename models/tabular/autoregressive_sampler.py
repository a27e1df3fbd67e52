"""A generator going through the steps of a row: random numbers in, tokens out."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.tabular.autoregressive_networks import Generator
from models.tabular.categorical_columns import NO_SUB_BIN

SubBinStep = tuple[int, int, int] | None  # as Encoding.digits has them
AllowedTokens = Mapping[int, Tensor]  # by step, (K,) booleans: the tokens that may be drawn
UNKNOWN_TOKEN = -1  # of a row that is to be completed: a token that is not given


class TokenSampler(Protocol):
    """What makes rows from `size` numbers for each."""

    num_uniforms: int

    def sample(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(size, B) numbers in (0, 1) to (S, B) tokens and (draws, B) places inside bins."""


class AutoregressiveSampler:
    """The weights of a generator as they are now, laid out step by step."""

    @torch.no_grad()
    def __init__(
        self, network: Generator, sub_bin_steps: Sequence[SubBinStep], num_decode_uniforms: int = 0
    ) -> None:
        """`draws`: the numbers of a row that are handed through, for the places inside bins."""
        self.num_uniforms = len(sub_bin_steps) + num_decode_uniforms
        self._digits = sub_bin_steps
        self._start, self._norm = network.start.detach(), network.norm
        table = network.tokens.table().detach()
        sizes = network.heads.sizes
        self._tables = table.split(sizes)
        first = [weight.detach() for weight in (network.w1, network.b1[:, 0])]
        second = [weight.detach() for weight in (network.w2, network.b2[:, 0])]
        self._first = list(zip(*first, strict=True))
        self._second = list(zip(*second, strict=True))
        self._heads = [network.heads.head_at(step) for step in range(len(sizes))]

    def sample(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        steps = len(self._digits)
        return self.sample_tokens(u[:steps], allowed, order), u[steps:]

    @torch.no_grad()
    def sample_tokens(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> Tensor:
        """(S, B) numbers in (0, 1) to (S, B) tokens: each step inverts its distribution. `order`
        has all steps, those of a column one after the other."""
        known = self._start.expand(u.shape[1], -1).clone()
        made = torch.empty(u.shape, dtype=torch.long)
        for step in order or range(len(self._digits)):
            token = made[step]
            token.copy_(_inverse_cdf(self._ends(step, known, allowed.get(step)), u[step]))
            token.masked_fill_(~self._has_choice(step, made), NO_SUB_BIN)
            known += F.embedding(token, self._tables[step])
        return made

    @torch.no_grad()
    def complete(
        self, u: Tensor, pick: Tensor, given: Tensor, order: Sequence[int] | None = None
    ) -> Tensor:
        """(S, N) tokens, all that are `given` (S, N) as they are and the others drawn from what the
        generator makes of all of them, also of those that come later in a row.

        By particles (Gordon et al. 1993): each row has several candidates, in `u` (S, M * N), and
        wherever a token is given, those that made it likely are multiplied at the cost of the
        others; `pick` (S + 1, N) are the numbers in (0, 1) that decide it.
        """
        n, many = given.shape[1], u.shape[1] // given.shape[1]
        known = self._start.expand(u.shape[1], -1).clone()
        made = torch.empty(u.shape, dtype=torch.long)
        alike = torch.ones(n, dtype=torch.bool)  # as long as nothing was drawn
        for step in order or range(len(self._digits)):
            ends = self._ends(step, known, None)
            told = given[step] != UNKNOWN_TOKEN
            wanted = given[step].clamp_min(0).repeat(many)
            made[step] = torch.where(told.repeat(many), wanted, _inverse_cdf(ends, u[step]))
            choice = self._has_choice(step, made)
            made[step].masked_fill_(~choice, NO_SUB_BIN)
            weigh = told & choice[:n] & ~alike
            if weigh.any():
                before = F.pad(ends, (1, 0)).gather(1, wanted[:, None])
                likely = (ends.gather(1, wanted[:, None]) - before)[:, 0].view(many, n)
                kept = _resampled(likely, pick[step], weigh)
                made = made.view(-1, many, n).gather(1, kept.expand(len(made), -1, -1)).flatten(1)
                width = known.shape[1]
                index = kept[:, :, None].expand(-1, -1, width)
                known = known.view(many, n, width).gather(0, index).flatten(0, 1)
            alike &= told | ~choice[:n]
            known += F.embedding(made[step], self._tables[step])
        chosen = (pick[-1] * many).long().clamp(max=many - 1)
        return made.view(-1, many, n)[:, chosen, torch.arange(n)]

    def _ends(self, step: int, known: Tensor, allowed: Tensor | None) -> Tensor:
        """(B, K): where the chance of each token ends, from 0 on."""
        x = self._norm(known)
        (w1, b1), (w2, b2), (w, b) = self._first[step], self._second[step], self._heads[step]
        if len(b) == 1:  # only one there is
            return torch.ones(len(known), 1)
        h = F.silu(torch.addmm(b1, x, w1), inplace=True)
        logits = torch.addmm(b, x + torch.addmm(b2, h, w2), w)
        if self._digits[step] is not None:
            logits[:, NO_SUB_BIN] = -torch.inf
        if allowed is not None:
            logits.masked_fill_(~allowed, -torch.inf)
        return torch.softmax(logits, 1).cumsum(1)

    def _has_choice(self, step: int, made: Tensor) -> Tensor:
        """(B,): not where there is no group for a digit to be in."""
        digit = self._digits[step]
        if digit is None:
            return torch.ones(made.shape[1], dtype=torch.bool)
        first, low, high = digit
        return (made[first] >= low) & (made[first] < high)


def _inverse_cdf(ends: Tensor, u: Tensor) -> Tensor:
    """(B, K) ends and (B,) numbers in (0, 1) to (B,) tokens."""
    # Just below the end: rounding must not lead past the last token that has a chance.
    at = u.unsqueeze(1) * (ends[:, -1:] * (1 - 1e-6))
    return torch.searchsorted(ends, at, right=True)[:, 0]


def _resampled(likely: Tensor, u: Tensor, weigh: Tensor) -> Tensor:
    """(M, N) weights to (M, N) indices of those that go on, by systematic resampling (Kitagawa
    1996) where `weigh` (N,); all of them go on elsewhere, and where none is likely."""
    many = len(likely)
    ends = likely.clamp_min(0).double().cumsum(0)
    at = (torch.arange(many)[:, None] + u) / many * (ends[-1] * (1 - 1e-9))
    chosen = torch.searchsorted(ends.T.contiguous(), at.T.contiguous(), right=True).T
    stay = torch.arange(many)[:, None].expand_as(chosen)
    return torch.where(weigh & (ends[-1] > 0), chosen.clamp(max=many - 1), stay)
