"""Tokens that may meet: what the exclusions of a model leave of masks of tokens.

The masks (K,) of the tokens of steps are narrowed by the combinations that samples do not have.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.tabular.relations.possible_values.values import Mask
from models.tabular.tokenizer import Tokenizer


def without_exclusions(
    tokenizer: Tokenizer, masks: Mapping[int, Mask], may_be_new: Sequence[Collection[int]] = ()
) -> dict[int, Mask]:
    """Return the masks of tokens that some allowed token of each other step may meet.

    Any tokens may meet of two steps that are in a collection of `may_be_new`.
    """
    masks, sizes = dict(masks), tokenizer.step_sizes
    for step, allowed in _allowed_next_to(tokenizer, masks, may_be_new):
        if not allowed.all():
            masks[step] = masks.get(step, np.ones(sizes[step], bool)) & allowed
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
            yield b, np.asarray(may_meet[masks[a]].any(0))
        if b in masks:
            yield a, np.asarray(may_meet[:, masks[b]].any(1))
    for joint in tokenizer.joint_masks:
        if masks.keys() & set(joint.steps):
            own = [masks.get(step, np.ones(sizes[step], bool)) for step in joint.steps]
            remaining = np.zeros_like(joint.may_meet)
            remaining[np.ix_(*own)] = joint.may_meet[np.ix_(*own)]
            for axis, step in enumerate(joint.steps):
                others = tuple(i for i in range(len(own)) if i != axis)
                yield step, np.asarray(remaining.any(others))
    for steps, combinations in key_combinations(tokenizer, masks).items():
        for step, tokens in zip(steps, combinations.T, strict=True):
            allowed = np.zeros(sizes[step], bool)
            allowed[tokens] = True
            yield step, allowed


def key_combinations(
    tokenizer: Tokenizer, masks: Mapping[int, Mask]
) -> dict[tuple[int, ...], NDArray[np.int32]]:
    """Return, by steps, the tokens of keys and of the columns they determine, within masks."""
    keys = {tuple(tokenizer.steps_of(names)) for names in tokenizer.columns_of_keys}
    result = {}
    for lookup in tokenizer.exclusions.exact_lookups:
        if lookup.steps not in keys or not masks.keys() & set(lookup.steps):
            continue
        is_allowed = np.ones(len(lookup.combinations), bool)
        for step, tokens in zip(lookup.steps, lookup.combinations.T, strict=True):
            if step in masks:
                is_allowed &= masks[step][tokens]
        result[lookup.steps] = lookup.combinations[is_allowed]
    return result
