"""Counter-based noise by seed and index."""

import numpy as np
import pytest

from models import noise


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # known answers of the paper's reference code (Random123, kat_vectors)
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [0xFFFFFFFF] * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_words(
    counter: list[int], key: tuple[int, int], words: list[int]
) -> None:
    assert noise.philox(np.array([counter], np.uint32), key)[0].tolist() == words


def test_noise_of_an_item_depends_only_on_seed_and_index() -> None:
    together = noise.normals(7, np.arange(100), 33)
    alone = np.concatenate([noise.normals(7, np.array([k]), 33) for k in range(100)])
    backwards = noise.normals(7, np.arange(99, -1, -1), 33)[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)
    assert not np.array_equal(together, noise.normals(8, np.arange(100), 33))


def test_shorter_noise_is_a_prefix_of_longer_noise() -> None:
    assert np.array_equal(
        noise.normals(7, np.arange(5), 3), noise.normals(7, np.arange(5), 64)[:, :3]
    )


def test_large_indices_and_seeds_give_finite_distinct_noise() -> None:
    values = noise.normals(2**63 - 1, np.array([0, 1, 2**33, 2**62], np.int64), 8)
    assert np.isfinite(values).all()
    assert len({tuple(row) for row in values.tolist()}) == 4


def test_normals_have_a_standard_normal_distribution() -> None:
    z = noise.normals(3, np.arange(20_000), 4)
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(z.T) - np.eye(4)).max() < 0.03


def test_noise_and_labels_never_share_random_numbers() -> None:
    items = np.arange(10)
    assert not np.intersect1d(
        noise.uniforms(1, items, 4, noise.NOISE), noise.uniforms(1, items, 4, noise.LABEL)
    ).size
