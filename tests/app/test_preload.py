"""What is loaded on the side, once the port is open."""

import gc
import sys

from starlette.testclient import TestClient

from app import preload
from tests.processes import eventually


def test_what_is_loaded_at_the_start_is_left_out_of_garbage_collections(
    anonymous: TestClient,
) -> None:
    eventually(preload.is_loaded)
    assert {"torch", "app.sampling.image_response", "app.sampling.tabular_response"} <= set(
        sys.modules
    )
    assert gc.get_freeze_count() > 100_000
