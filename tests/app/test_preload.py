"""Imports in the background after startup."""

import gc
import sys

from starlette.testclient import TestClient

from app import preload
from tests.processes import eventually


def test_preloaded_modules_are_excluded_from_garbage_collection(
    anonymous: TestClient,
) -> None:
    eventually(preload.is_loaded)
    assert {"torch", "modalities.image.sampler", "modalities.tabular.sampler"} <= set(sys.modules)
    assert gc.get_freeze_count() > 100_000
