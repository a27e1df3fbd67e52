"""The noise of item k, from (seed, k) alone, whatever batch, worker, order or page it is drawn in.

A counter-based generator, Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", SC 2011): no state, so item 10**12 costs what item 0 costs. Computed with numpy on the
CPU even when the generator runs on a GPU, so that both see the same noise.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]
Seeds = int | NDArray[np.uint64]  # one of all items, or (N,)
Streams = int | NDArray[np.int64]

# What a stream of numbers is for; two purposes never share a number.
NOISE, LABEL = 0, 1


def attempt_stream(attempt: Streams) -> Streams:
    """Each candidate for an item has random numbers of its own; the first has those of an item
    that is not chosen among candidates."""
    if isinstance(attempt, int):
        return NOISE if attempt == 0 else LABEL + attempt
    return np.where(attempt == 0, NOISE, LABEL + attempt)


_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox(
    counter: NDArray[np.uint32], key: tuple[int, int] | tuple[Words, Words]
) -> NDArray[np.uint32]:
    """(N, 4) counters under one key of two 32-bit words, or one for each, to (N, 4) random
    words."""
    c0, c1, c2, c3 = counter.astype(np.uint64).T
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    for _ in range(10):
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (second >> _32) ^ c1 ^ k0, second & _LOW
        c2, c3 = (first >> _32) ^ c3 ^ k1, first & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _words(seed: Seeds, items: Indices, size: int, stream: Streams) -> NDArray[np.uint32]:
    """(N, size) words for items 0 … 2**64 - 1 under a 64-bit seed; `size` a multiple of 4."""
    blocks = size // 4
    counter = np.empty((len(items), blocks, 4), np.uint32)
    counter[:, :, 0] = np.arange(blocks, dtype=np.uint32)
    counter[:, :, 1] = np.reshape(np.asarray(stream, np.uint32), (-1, 1))
    items = items.astype(np.uint64)
    counter[:, :, 2] = (items & _LOW).astype(np.uint32)[:, None]
    counter[:, :, 3] = (items >> _32).astype(np.uint32)[:, None]
    if not isinstance(seed, int):
        seed = np.repeat(seed, blocks)
    words = philox(counter.reshape(-1, 4), _key(seed))
    return words.reshape(len(items), size)


def _key(seed: Seeds) -> tuple[Words, Words]:
    both = np.asarray(seed, np.uint64)
    return both & _LOW, both >> _32


def uniforms(
    seed: Seeds, indices: Indices, size: int, stream: Streams = NOISE
) -> NDArray[np.float64]:
    """(N, size) numbers in (0, 1), each with 32 random bits."""
    words = _words(seed, indices, -(-size // 4) * 4, stream)[:, :size]
    return np.asarray((words + 0.5) * 2.0**-32, np.float64)


def normals(
    seed: Seeds, indices: Indices, size: int, stream: Streams = NOISE
) -> NDArray[np.float32]:
    """(N, size) standard normal numbers, by Box and Muller's transform (1958)."""
    u = uniforms(seed, indices, -(-size // 4) * 4, stream)
    radius, angle = np.sqrt(-2.0 * np.log(u[:, 0::2])), 2.0 * np.pi * u[:, 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return pairs.reshape(len(u), -1)[:, :size].astype(np.float32)
