"""Random numbers of item k, which depend on (seed, k) only.

They are the same in every batch, worker, order and page. The generator is counter-based,
Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). It has no
state, so item 10**12 costs as much as item 0. numpy computes the numbers on the CPU even when the
networks run on a GPU, so that both devices use the same noise.
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]
Seeds = int | NDArray[np.uint64]  # one for all items, or (N,)
Streams = int | NDArray[np.int64]

# Each purpose has its own stream, so that two purposes never share a random number.
NOISE, LABEL = 0, 1


def attempt_stream(attempt: Streams) -> Streams:
    """Return the stream of a rejection-sampling attempt, counted from 0.

    Attempt 0 uses the stream NOISE, like an item that is generated without rejection. Each further
    attempt has its own stream.
    """
    if isinstance(attempt, int):
        return NOISE if attempt == 0 else LABEL + attempt
    return np.where(attempt == 0, NOISE, LABEL + attempt)


_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)


def philox(
    counter: NDArray[np.uint32], key: tuple[int, int] | tuple[Words, Words]
) -> NDArray[np.uint32]:
    """Map (N, 4) counters to (N, 4) random words.

    The key is two 32-bit words, for all counters or one pair per counter.
    """
    c0, c1, c2, c3 = counter.astype(np.uint64).T
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    for _ in range(10):
        product_0, product_1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (product_1 >> _WORD_BITS) ^ c1 ^ k0, product_1 & _LOW
        c2, c3 = (product_0 >> _WORD_BITS) ^ c3 ^ k1, product_0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _words(seed: Seeds, items: Indices, size: int, stream: Streams) -> NDArray[np.uint32]:
    """Return (N, size) words for items 0 to 2**64 - 1. `size` must be a multiple of 4.

    The counter is (block of four words, stream, low half of the item, high half of the item); the
    key is the 64-bit seed.
    """
    blocks = size // 4
    counter = np.empty((len(items), blocks, 4), np.uint32)
    counter[:, :, 0] = np.arange(blocks, dtype=np.uint32)
    counter[:, :, 1] = np.reshape(np.asarray(stream, np.uint32), (-1, 1))
    items = items.astype(np.uint64)
    counter[:, :, 2] = (items & _LOW).astype(np.uint32)[:, None]
    counter[:, :, 3] = (items >> _WORD_BITS).astype(np.uint32)[:, None]
    if not isinstance(seed, int):
        seed = np.repeat(seed, blocks)
    words = philox(counter.reshape(-1, 4), _key(seed))
    return words.reshape(len(items), size)


def _key(seed: Seeds) -> tuple[Words, Words]:
    seeds = np.asarray(seed, np.uint64)
    return seeds & _LOW, seeds >> _WORD_BITS


def uniforms(
    seed: Seeds, indices: Indices, size: int, stream: Streams = NOISE
) -> NDArray[np.float64]:
    """Return (N, size) numbers in (0, 1), each with 32 random bits."""
    words = _words(seed, indices, -(-size // 4) * 4, stream)[:, :size]
    return np.asarray((words + 0.5) * 2.0**-32, np.float64)


def normals(
    seed: Seeds, indices: Indices, size: int, stream: Streams = NOISE
) -> NDArray[np.float32]:
    """Return (N, size) standard normal numbers, by the Box-Muller transform (1958)."""
    u = uniforms(seed, indices, -(-size // 4) * 4, stream)
    radius, angle = np.sqrt(-2.0 * np.log(u[:, 0::2])), 2.0 * np.pi * u[:, 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return pairs.reshape(len(u), -1)[:, :size].astype(np.float32)
