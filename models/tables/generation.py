"""A generator going through the steps of a row: random numbers in, tokens out."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.tables.columns import NONE
from models.tables.networks import Generator

Digit = tuple[int, int, int] | None  # as Encoding.digits has them
Allowed = Mapping[int, Tensor]  # by step, (K,) booleans: the tokens that may be drawn


class RowMaker(Protocol):
    """What makes rows from `size` numbers for each."""

    size: int

    def make(self, u: Tensor, allowed: Allowed) -> tuple[Tensor, Tensor]:
        """(size, B) numbers in (0, 1) to (S, B) tokens and (draws, B) places inside bins."""


class Stepper:
    """The weights of a generator as they are now, laid out step by step."""

    @torch.no_grad()
    def __init__(self, network: Generator, digits: Sequence[Digit], draws: int = 0) -> None:
        """`draws`: the numbers of a row that are handed through, for the places inside bins."""
        self.size = len(digits) + draws
        self._digits = digits
        self._start, self._norm = network.start.detach(), network.norm
        table = network.tokens.table().detach()
        sizes = network.heads.sizes
        self._tables = table.split(sizes)
        first = [weight.detach() for weight in (network.w1, network.b1[:, 0])]
        second = [weight.detach() for weight in (network.w2, network.b2[:, 0])]
        self._first = list(zip(*first, strict=True))
        self._second = list(zip(*second, strict=True))
        self._heads = [network.heads.of(step) for step in range(len(sizes))]

    def make(self, u: Tensor, allowed: Allowed) -> tuple[Tensor, Tensor]:
        steps = len(self._digits)
        return self.tokens(u[:steps], allowed), u[steps:]

    @torch.no_grad()
    def tokens(self, u: Tensor, allowed: Allowed) -> Tensor:
        """(S, B) numbers in (0, 1) to (S, B) tokens: each step inverts its distribution."""
        known = self._start.expand(u.shape[1], -1).clone()
        made = torch.empty(u.shape, dtype=torch.long)
        for step, digit in enumerate(self._digits):
            token = made[step]
            if self._heads[step][1].shape[-1] == 1:  # only one there is
                token.zero_()
            else:
                token.copy_(self._draw(step, known, u[step], allowed.get(step)))
            if digit is not None:
                first, low, high = digit
                token.masked_fill_((made[first] < low) | (made[first] >= high), NONE)
            known += F.embedding(token, self._tables[step])
        return made

    def _draw(self, step: int, known: Tensor, u: Tensor, allowed: Tensor | None) -> Tensor:
        x = self._norm(known)
        (w1, b1), (w2, b2), (w, b) = self._first[step], self._second[step], self._heads[step]
        h = F.silu(torch.addmm(b1, x, w1), inplace=True)
        logits = torch.addmm(b, x + torch.addmm(b2, h, w2), w)
        if self._digits[step] is not None:
            logits[:, NONE] = -torch.inf
        if allowed is not None:
            logits.masked_fill_(~allowed, -torch.inf)
        chances = torch.softmax(logits, 1)
        ends = chances.cumsum(1)
        # Just below the end: rounding must not lead past the last token that has a chance.
        at = u.unsqueeze(1) * (ends[:, -1:] * (1 - 1e-6))
        return torch.searchsorted(ends, at, right=True)[:, 0]
