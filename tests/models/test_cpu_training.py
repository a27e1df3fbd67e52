"""Every network learns the same on the CPU as before, with no more operations."""

import json

import pytest

from tests.models.recorded_training import RECORDS, RUNS, record

RECORDED = json.loads(RECORDS.read_text())


# Relative differences on a processor without AVX-512: at most 2e-3 in losses and 2e-5 in sums of
# `vae_gan`, and 5e-7 in those of all other networks.
TOLERANCES = {"vae_gan": 2e-4, "vae_gan without labels": 5e-3}
TOLERANCE = 5e-6


@pytest.mark.parametrize("name", RUNS)
def test_a_network_learns_the_same_on_the_cpu_as_before(name: str) -> None:
    figures, expected = record(name), dict(RECORDED[name])
    assert figures.pop("operations") <= expected.pop("operations")
    for sums in ("model", "state"):
        assert figures.pop(sums) == pytest.approx(
            expected.pop(sums), rel=min(TOLERANCES.get(name, TOLERANCE), 1e-4)
        )
    assert figures == pytest.approx(expected, rel=TOLERANCES.get(name, TOLERANCE))
