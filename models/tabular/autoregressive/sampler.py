"""Sampling of rows from an autoregressive generator, step by step: uniforms in, tokens out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.placement import upload
from models.tabular.autoregressive.exact_lookups import CombinationPenalties
from models.tabular.autoregressive.exclusions import NO_EXCLUSIONS, Exclusions
from models.tabular.autoregressive.joint_masks import JointMask, JointPenalties
from models.tabular.autoregressive.near_lookups import LookupPenalties
from models.tabular.autoregressive.networks import Generator
from models.tabular.autoregressive.structural_zeros import ZeroPenalties
from models.tabular.categorical_columns import NO_SUB_BIN, Floats
from models.tabular.sampled_values import NO_COLUMNS, UNKNOWN_TOKEN, SampledColumns, SampledValues

SubBinStep = tuple[int, int, int] | None  # as in Tokenizer.sub_bin_steps
AllowedTokens = Mapping[int, Tensor]  # by step, a (K,) mask of the tokens that may be sampled
MIN_TOKEN_WEIGHT = 1e-6  # of a given token from which another given value does not follow
MIN_EXCLUDED = 1e-3  # probability of excluded tokens that counts; less is a rounding error
# By the first step of a column, a function of (S, B) tokens of which the steps before are sampled.
# It returns the (steps, B) given tokens of the column, UNKNOWN_TOKEN where nothing is given, and
# the (B,) probabilities of the given values if their tokens are sampled.
LateTokens = Mapping[int, Callable[[Tensor], tuple[Tensor, Tensor]]]
# By step, a function of (S, B) tokens of which the steps before are sampled. It returns the (B, K)
# weights of the tokens of the step: the probabilities of the given values if they are sampled.
TokenWeights = Mapping[int, Callable[[Tensor], Tensor]]


class TokenSampler(Protocol):
    """A generator that turns `num_uniforms` uniforms per row into the tokens of a row."""

    num_uniforms: int

    @property
    def device(self) -> torch.device: ...

    def sample(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (S, B) tokens and (num_decode_uniforms, B) positions within bins.

        `u` has (num_uniforms, B) numbers in (0, 1). `order` lists all steps in sampling order.
        """


class AutoregressiveSampler:
    """The current weights of a generator, split by step."""

    @torch.no_grad()
    def __init__(
        self,
        network: Generator,
        sub_bin_steps: Sequence[SubBinStep],
        num_decode_uniforms: int = 0,
        exclusions: Exclusions = NO_EXCLUSIONS,
        joint_masks: Sequence[JointMask] = (),
        columns: SampledColumns = NO_COLUMNS,
    ) -> None:
        """Split the weights of `network`.

        `num_decode_uniforms` is the number of uniforms per row that `sample` passes through to the
        decoder, as positions within bins. Combinations in `exclusions` and tokens outside
        `joint_masks` are not sampled. Tokens of `columns` that follow from others are computed;
        this needs all of the uniforms.
        """
        self._columns = columns
        self.computes_tokens = bool(columns.following)
        self.num_uniforms = len(sub_bin_steps) + num_decode_uniforms
        self.device = network.start.device
        self._sub_bin_steps = sub_bin_steps
        self._start, self._norm = network.start.detach(), network.norm
        self._attention = network.attention.detach()
        table = network.tokens().detach()
        sizes = network.heads.sizes
        self._embeddings = list(table.split(sizes))
        self._cell_sizes: list[int] = [0] * len(sizes)  # 0: the embedding depends on one token
        for step, free in enumerate(self._embeddings):
            if (fine := network.fine.table_of(step)) is not None:
                cells = fine.view(-1, len(free) - 1, fine.shape[1]) + free[1:]
                self._cell_sizes[step] = len(free) - 1
                self._embeddings[step] = torch.cat([cells.flatten(0, 1), free[:1]])
        hidden = [weight.detach() for weight in (network.w1, network.b1[:, 0])]
        residual = [weight.detach() for weight in (network.w2, network.b2[:, 0])]
        self._hidden_layers = list(zip(*hidden, strict=True))
        self._residual_layers = list(zip(*residual, strict=True))
        self._heads = [network.heads.head_at(step) for step in range(len(sizes))]
        zeros = ZeroPenalties(exclusions.zeros, sizes, self.device)
        near = LookupPenalties(exclusions.near_lookups, sizes, self.device)
        exact = CombinationPenalties(exclusions.exact_lookups, sizes, self.device)
        joint = JointPenalties(joint_masks, self.device)
        self._penalties = zeros, near, joint, exact
        self._restrictions = exact, joint, near  # those that matter most come first

    def sample(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.sample_tokens(u, allowed, order), u[len(self._sub_bin_steps) :]

    @torch.no_grad()
    def sample_tokens(
        self, u: Tensor, allowed: AllowedTokens, order: Sequence[int] | None = None
    ) -> Tensor:
        """Map (num_uniforms, B) uniforms to (S, B) tokens by inverse transform sampling of steps.

        `order` lists all steps; the steps of one column must follow each other.
        """
        steps = len(self._sub_bin_steps)
        values = (
            SampledValues(self._columns, _as_floats(u[steps:])) if self.computes_tokens else None
        )
        tokens = torch.full((steps, u.shape[1]), UNKNOWN_TOKEN, device=u.device)
        is_in_order = order is None
        order, attention, embedded = self._in_order(order, u)
        for k, step in enumerate(order):
            if step not in self._columns.computed:
                token, context = tokens[step], self._context(attention[k, :k], embedded[:k])
                before = tokens[:step] if is_in_order else tokens
                penalties = [each.of(step, before) for each in self._penalties]
                cdf = self._cdf(step, context, penalties, allowed.get(step))
                token.copy_(_inverse_cdf(cdf, u[step]))
                token.masked_fill_(~self._is_active(step, tokens), NO_SUB_BIN)
            if values is not None:
                _replace_following(values, step, tokens)
            self._embed(step, tokens, embedded[k])
        return tokens

    @torch.no_grad()
    def complete(
        self,
        u: Tensor,
        resampling_u: Tensor,
        given: Tensor,
        order: Sequence[int] | None = None,
        late: LateTokens | None = None,
        weights: TokenWeights | None = None,
        values: SampledValues | None = None,
    ) -> Tensor:
        """Return (S, N) tokens: those in `given` unchanged, the others sampled given all of them.

        `given` (S, N) holds UNKNOWN_TOKEN where the token must be sampled. Given tokens also
        influence the steps before them, by a particle filter (Gordon et al. 1993): each row has M
        particles, sampled from `u` (S, M * N). At each given token the particles are resampled in
        proportion to the likelihood of that token. Where a later token is given with which only
        some values occur, one of these is sampled, and their probability is the likelihood.
        `resampling_u` (S + 1, N) has one uniform per step for the resampling, and one for the
        final choice of a particle. `late` are the given values whose tokens depend on values that
        are sampled before, and `weights` those of values from which given ones follow. `values`
        have the tokens that follow from sampled ones.
        """
        n, num_particles = given.shape[1], u.shape[1] // given.shape[1]
        tokens = torch.full(u.shape, UNKNOWN_TOKEN, device=u.device)
        is_in_order = order is None
        order, attention, embedded = self._in_order(order, u)
        identical = torch.ones(n, dtype=torch.bool, device=u.device)  # all particles of the row
        given = given.repeat(1, num_particles)
        for k, step in enumerate(order):
            weight = None
            if late and step in late:
                column, weight = late[step](tokens)
                is_late = column[0] != UNKNOWN_TOKEN
                steps = slice(step, step + len(column))
                given[steps] = torch.where(is_late, column, given[steps])
            context = self._context(attention[k, :k], embedded[:k])
            before = tokens[:step] if is_in_order else tokens
            penalties = [each.of(step, before) for each in self._penalties]
            cdf = self._cdf(step, context, penalties, None)
            token_weights = weights[step](tokens) if weights and step in weights else None
            possible, mass = self._restrict_to_given(step, cdf, tokens, given, token_weights)
            is_given = given[step] != UNKNOWN_TOKEN
            given_tokens = given[step].clamp_min(0)
            tokens[step] = torch.where(is_given, given_tokens, _inverse_cdf(possible, u[step]))
            is_active = self._is_active(step, tokens)
            tokens[step].masked_fill_(~is_active, NO_SUB_BIN)
            if values is not None:
                is_active &= _replace_following(values, step, tokens, is_given)
            is_weighted = (is_given & is_active).view(num_particles, n)
            is_restricted = is_active & ~is_given & (mass < 1 - MIN_EXCLUDED)
            is_restricted = is_restricted.view(num_particles, n)
            reweighted = (is_weighted | is_restricted).any(0) & ~identical
            if reweighted.any():
                likelihood = _likelihood(cdf, given_tokens, token_weights)
                likelihood = likelihood if weight is None else likelihood * weight
                otherwise = torch.where(is_restricted, mass.view(num_particles, n), 1.0)
                likelihood = torch.where(is_weighted, likelihood.view(num_particles, n), otherwise)
                ancestors = _systematic_resampling(likelihood, resampling_u[step], reweighted)
                tokens, given = (
                    rows.view(-1, num_particles, n)
                    .gather(1, ancestors.expand(len(rows), -1, -1))
                    .flatten(1)
                    for rows in (tokens, given)
                )
                sources = ancestors * n + torch.arange(n, device=u.device)
                embedded[:k] = embedded[:k].index_select(1, sources.flatten())
            identical &= (is_given | ~is_active).view(num_particles, n).all(0)
            if weight is not None:
                identical &= ~is_late.view(num_particles, n).any(0)
            self._embed(step, tokens, embedded[k])
        chosen = (resampling_u[-1] * num_particles).long().clamp(max=num_particles - 1)
        return tokens.view(-1, num_particles, n)[:, chosen, torch.arange(n, device=u.device)]

    def _restrict_to_given(
        self, step: int, cdf: Tensor, tokens: Tensor, given: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return a (B, K) cumulative distribution over tokens that occur with given later values.

        Also return the (B,) probability of these tokens. If there are none, tokens remain that
        exact lookups and dates allow, and if there are none of these, all tokens. The
        probabilities are multiplied by (B, K) `weights`, if there are any for which one remains.
        """
        others = torch.where(tokens == UNKNOWN_TOKEN, given, tokens)
        weighted = cdf
        if weights is not None:
            # Other rows of the batch have given values: without, a row stays exactly as it is.
            is_weighted = (weights != 1).any(dim=1, keepdim=True)
            products = (F.pad(cdf, (1, 0)).diff(dim=1) * weights).cumsum(1)
            weighted = torch.where(is_weighted, products, cdf)
            cdf = torch.where(weighted[:, -1:] > 0, weighted, cdf)
        possible, mass = cdf, weighted[:, -1]
        excluded: Tensor | None = None
        for restriction in self._restrictions:
            if (penalties := restriction.of(step, others)) is not None:
                excluded = penalties < 0 if excluded is None else excluded | (penalties < 0)
                cumulative = (F.pad(cdf, (1, 0)).diff(dim=1) * ~excluded).cumsum(1)
                mass = cumulative[:, -1]
                possible = torch.where(mass[:, None] > 0, cumulative, possible)
        return possible, torch.where(weighted[:, -1] > 0, mass, 0.0)

    def _in_order(
        self, order: Sequence[int] | None, u: Tensor
    ) -> tuple[Sequence[int], Tensor, Tensor]:
        """Return all steps in order, their (S, S) attention, and an (S, B, D) buffer.

        The buffer is for the embeddings of the tokens, in the same order.
        """
        embedded = self._start.new_empty(len(self._sub_bin_steps), u.shape[1], len(self._start))
        if order is None:
            return range(len(self._sub_bin_steps)), self._attention, embedded
        index = upload(torch.tensor(order), u.device)
        return order, self._attention[index][:, index], embedded

    def _context(self, attention: Tensor, embedded: Tensor) -> Tensor:
        """Return the (B, D) context of a step, given the (n, B, D) embeddings of earlier tokens."""
        context = torch.mv(embedded.flatten(1).T, attention).view(embedded.shape[1:])
        return context.add_(self._start)

    def _cdf(
        self,
        step: int,
        context: Tensor,
        penalties: Sequence[Tensor | None],
        allowed: Tensor | None,
    ) -> Tensor:
        """Return (B, K): the cumulative distribution over a step's tokens.

        The (B, K) `penalties` are added to the logits, and tokens outside the mask `allowed` (K,)
        have no probability.
        """
        x = self._norm(context)
        w1, b1 = self._hidden_layers[step]
        w2, b2 = self._residual_layers[step]
        w, b = self._heads[step]
        if len(b) == 1:  # a single token needs no network
            return torch.ones(len(context), 1, device=context.device)
        h = F.silu(torch.addmm(b1, x, w1), inplace=True)
        logits = torch.addmm(b, x + torch.addmm(b2, h, w2), w)
        for added in penalties:
            if added is not None:
                logits.add_(added)
        if self._sub_bin_steps[step] is not None:
            logits[:, NO_SUB_BIN] = -torch.inf
        if allowed is not None:
            logits.masked_fill_(~allowed, -torch.inf)
        return torch.softmax(logits, 1).cumsum(1)

    def _embed(self, step: int, tokens: Tensor, out: Tensor) -> None:
        """Write the (B, D) embeddings of the tokens of a step, given all (S, B) tokens."""
        table, index, sub_bin_step = self._embeddings[step], tokens[step], self._sub_bin_steps[step]
        if self._cell_sizes[step] and sub_bin_step is not None:
            first, low, _ = sub_bin_step
            cells = (tokens[first] - low) * self._cell_sizes[step] + index - 1
            index = torch.where(index == NO_SUB_BIN, len(table) - 1, cells)
        torch.index_select(table, 0, index, out=out)

    def _is_active(self, step: int, tokens: Tensor) -> Tensor:
        """Return (B,): False at a sub-bin step of a row that has no bin."""
        sub_bin_step = self._sub_bin_steps[step]
        if sub_bin_step is None:
            return torch.ones(tokens.shape[1], dtype=torch.bool, device=tokens.device)
        first, low, high = sub_bin_step
        return (tokens[first] >= low) & (tokens[first] < high)


def _replace_following(
    values: SampledValues, step: int, tokens: Tensor, is_given: Tensor | None = None
) -> Tensor:
    """Replace the tokens of a step that follow from earlier ones, unless they are given.

    Return the (B,) mask of the other rows of the (S, B) tokens.
    """
    follows = values.following_tokens(step, tokens)
    if follows is None:
        return torch.ones_like(tokens[step], dtype=torch.bool)
    is_free = follows == UNKNOWN_TOKEN
    if is_given is not None:
        is_free |= is_given
    tokens[step] = torch.where(is_free, tokens[step], follows)
    return is_free


def _as_floats(u: Tensor) -> Floats:
    return u.cpu().numpy().astype(np.float64)


def _likelihood(cdf: Tensor, tokens: Tensor, weights: Tensor | None) -> Tensor:
    """Return the (B,) probabilities of given tokens, times their weights.

    `cdf` and `weights` are (B, K). Other given values may follow from a given token.
    """
    index = tokens[:, None]
    probability = cdf.gather(1, index) - F.pad(cdf, (1, 0)).gather(1, index)
    if weights is not None:
        probability = probability * weights.gather(1, index).clamp_min(MIN_TOKEN_WEIGHT)
    return probability[:, 0]


def _inverse_cdf(cdf: Tensor, u: Tensor) -> Tensor:
    """Map (B, K) cumulative distributions and (B,) uniforms to (B,) tokens."""
    # Stay below the total: rounding must not select a token of probability 0 after the last one.
    target = u.unsqueeze(1) * (cdf[:, -1:] * (1 - 1e-6))
    return torch.searchsorted(cdf, target, right=True)[:, 0]


def _systematic_resampling(likelihood: Tensor, u: Tensor, reweighted: Tensor) -> Tensor:
    """Return (M, N) ancestor indices of M particles of N rows, given their (M, N) likelihoods.

    Systematic resampling (Kitagawa 1996) with one uniform per row, `u` (N,). Particles of rows
    outside the mask `reweighted` (N,), or whose likelihoods are all 0, keep their own index.
    """
    num_particles = len(likelihood)
    cumulative = likelihood.clamp_min(0).double().cumsum(0)
    particles = torch.arange(num_particles, device=u.device)[:, None]
    targets = (particles + u) / num_particles * (cumulative[-1] * (1 - 1e-9))
    ancestors = torch.searchsorted(cumulative.T.contiguous(), targets.T.contiguous(), right=True).T
    own_index = particles.expand_as(ancestors)
    return torch.where(
        reweighted & (cumulative[-1] > 0), ancestors.clamp(max=num_particles - 1), own_index
    )
