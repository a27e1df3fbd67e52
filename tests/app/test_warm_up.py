"""What is loaded on the side, once the port is open."""

import gc
import sys

from starlette.testclient import TestClient

from app import warm_up
from tests.processes import eventually


def test_what_is_loaded_at_the_start_is_left_out_of_garbage_collections(
    anonymous: TestClient,
) -> None:
    eventually(warm_up.is_loaded)
    assert {"torch", "app.sampling.image_answer", "app.sampling.row_answer"} <= set(sys.modules)
    assert gc.get_freeze_count() > 100_000
