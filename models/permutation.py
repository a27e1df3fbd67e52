"""Keyed permutations of the integers below a number, without a table of them."""

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.uint64]

ROUNDS = 6
MAX_SIZE = 2**62
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT = np.uint64(29)
_GOLDEN = 0x9E3779B97F4A7C15


def permute(ranks: Ranks, size: int, key: int) -> Ranks:
    """Map each rank below `size` to another one; different ranks have different images.

    A Feistel network permutes the numbers of 2k bits. Images of `size` or more are permuted again
    until they are below it (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
    """
    half_bits = max(1, -(-(size - 1).bit_length() // 2))
    images = _encrypt(ranks, half_bits, key)
    outside = images >= np.uint64(size)
    while outside.any():
        images[outside] = _encrypt(images[outside], half_bits, key)
        outside = images >= np.uint64(size)
    return images


def _encrypt(ranks: Ranks, half_bits: int, key: int) -> Ranks:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = ranks >> shift, ranks & mask
    for i in range(ROUNDS):
        round_key = np.uint64((key + (i + 1) * _GOLDEN) % 2**64)
        left, right = right, left ^ (_mix(right ^ round_key) & mask)
    return (left << shift) | right


def _mix(words: Ranks) -> Ranks:
    """Return the finalizer of SplitMix64 (Steele et al. 2014)."""
    words = (words ^ (words >> _SHIFT)) * _MULTIPLIERS[0]
    words = (words ^ (words >> _SHIFT)) * _MULTIPLIERS[1]
    return words ^ (words >> _SHIFT)
