"""Tokens that may meet: what the exclusions of a model leave of masks of tokens.

The masks (N, K) of the tokens of steps in N rows are narrowed by the combinations that samples do
not have.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.tabular.autoregressive.exact_lookups import ExactLookup
from models.tabular.autoregressive.joint_masks import JointMask
from models.tabular.relations.possible_values.values import Mask
from models.tabular.tokenizer import Tokenizer


def without_exclusions(
    tokenizer: Tokenizer, masks: Mapping[int, Mask], may_be_new: Sequence[Collection[int]] = ()
) -> dict[int, Mask]:
    """Return the (N, K) masks of tokens that some allowed token of each other step may meet.

    Any tokens may meet of two steps that are in a collection of `may_be_new`.
    """
    masks = dict(masks)
    for step, allowed in _allowed_next_to(tokenizer, masks, may_be_new):
        if not allowed.all():
            masks[step] = masks[step] & allowed if step in masks else allowed
    return masks


def _allowed_next_to(
    tokenizer: Tokenizer, masks: Mapping[int, Mask], may_be_new: Sequence[Collection[int]]
) -> Iterator[tuple[int, Mask]]:
    """Yield steps and the tokens of each that may meet those of other steps in `masks`.

    The masks may be narrowed in between.
    """
    sizes = tokenizer.step_sizes
    for (a, b), may_meet in tokenizer.exclusions.zeros.may_meet.items():
        if any(a in steps and b in steps for steps in may_be_new):
            continue
        if a in masks:
            yield b, _met_by(masks[a], may_meet)
        if b in masks:
            yield a, _met_by(masks[b], may_meet.T)
    for joint in tokenizer.joint_masks:
        if masks.keys() & set(joint.steps):
            yield from _in_joint(joint, masks)
    for lookup in _lookups_of_keys(tokenizer, masks):
        is_allowed = _has_allowed(lookup, masks)
        for step, tokens in zip(lookup.steps, lookup.combinations.T, strict=True):
            mask = np.zeros((len(is_allowed), sizes[step]), bool)
            rows, indices = np.nonzero(is_allowed)
            mask[rows, tokens[indices]] = True
            yield step, mask


def _in_joint(joint: JointMask, masks: Mapping[int, Mask]) -> Iterator[tuple[int, Mask]]:
    """Yield the steps of several columns, and the tokens of each that may meet allowed others."""
    count, shape = len(next(iter(masks.values()))), joint.may_meet.shape
    own = [
        masks.get(step, np.ones((count, size), bool))
        for step, size in zip(joint.steps, shape, strict=True)
    ]
    allowed = [np.zeros_like(mask) for mask in own]
    for row in range(count):
        remaining = np.zeros_like(joint.may_meet)
        index = np.ix_(*(mask[row] for mask in own))
        remaining[index] = joint.may_meet[index]
        for axis, mask in enumerate(allowed):
            mask[row] = remaining.any(tuple(i for i in range(len(own)) if i != axis))
    yield from zip(joint.steps, allowed, strict=True)


def _met_by(mask: Mask, may_meet: Mask) -> Mask:
    """Return the (N, K') tokens that may meet one of (N, K) tokens, of pairs (K, K')."""
    return np.asarray(mask.astype(np.float32) @ may_meet.astype(np.float32) > 0)


def _lookups_of_keys(tokenizer: Tokenizer, steps: Collection[int]) -> Iterator[ExactLookup]:
    """Yield the lookups of keys that have one of some steps."""
    keys = {tuple(tokenizer.steps_of(names)) for names in tokenizer.columns_of_keys}
    for lookup in tokenizer.exclusions.exact_lookups:
        if lookup.steps in keys and not set(steps).isdisjoint(lookup.steps):
            yield lookup


def _has_allowed(lookup: ExactLookup, masks: Mapping[int, Mask]) -> Mask:
    """Return the (N, M) mask of the M combinations of a lookup that (N, K) masks allow."""
    used = [
        masks[step][:, tokens]
        for step, tokens in zip(lookup.steps, lookup.combinations.T, strict=True)
        if step in masks
    ]
    return np.asarray(np.logical_and.reduce(used))


def key_combinations(
    tokenizer: Tokenizer, masks: Mapping[int, Mask]
) -> dict[tuple[int, ...], NDArray[np.int32]]:
    """Return, by steps, the tokens of keys and of the columns they determine, within (K,) masks."""
    masks = {step: mask[None] for step, mask in masks.items()}
    return {
        lookup.steps: lookup.combinations[_has_allowed(lookup, masks)[0]]
        for lookup in _lookups_of_keys(tokenizer, masks)
    }
