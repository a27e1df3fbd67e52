"""An optimizer step of every architecture is short enough to read."""

import threading

import pytest

from bench import call_depth, call_trace
from models.autocast import bf16_autocast
from models.placement import CPU

MAX_DEPTH = 4  # The training loop has depth 1.


@pytest.mark.parametrize("flow", call_depth.FLOWS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_call_of_an_optimizer_step_is_more_than_four_deep(flow: str) -> None:
    for phase, calls in call_depth.FLOWS[flow]().items():
        assert 1 < calls.depth <= MAX_DEPTH, (phase, calls.deepest)


def test_a_trace_includes_the_calls_of_other_threads() -> None:
    def work() -> None:
        thread = threading.Thread(target=bf16_autocast, args=(CPU,))
        thread.start()
        thread.join()

    calls = call_trace.trace(work)
    assert calls.functions == {"models.autocast.bf16_autocast"}
    assert calls.depth == 1
