"""Choice of the weights of a tabular generator by the loss of held-out rows."""

import pytest
import torch

from models.tabular.autoregressive.phases import GeneratorPhase
from models.tabular.data import TokenBatches
from models.tabular.tokenizer import Tokenizer
from tests.models.tabular.tiny_tables import make_people, make_settings


@pytest.fixture
def phase() -> GeneratorPhase:
    table, schema = make_people(100)
    tokenizer = Tokenizer.fit(table, schema, target_column="label", seed=1)
    batches = TokenBatches(torch.from_numpy(tokenizer.encode(table, 1)), 32, 1)
    settings = make_settings(table)
    return GeneratorPhase(tokenizer, settings, batches, batches, torch.device("cpu"))


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([20.0, 19.0, 18.0], 2),  # the loss falls
        ([20.0, 18.0, 18.1, 18.17], 3),  # flat: the last weights have the lowest learning rate
        ([20.0, 18.0, 18.19, 19.0], 1),  # memorized rows: more than 1 % above the lowest loss
        ([20.0, 18.0, 18.17, 18.34], 2),  # the lowest loss is the reference, not the kept one
    ],
)
def test_the_latest_weights_with_nearly_the_lowest_loss_are_kept(
    monkeypatch: pytest.MonkeyPatch, phase: GeneratorPhase, losses: list[float], best: int
) -> None:
    holdout = torch.zeros(len(phase.batches.batch_at(0)[0].T), 50, dtype=torch.long)
    network = phase.average.network
    remaining = iter(losses)
    monkeypatch.setattr(
        network,
        "forward",
        lambda rows, *_: rows.new_full(
            rows.shape, next(remaining) / len(rows), dtype=torch.float64
        ),
    )
    for index in range(len(losses)):
        network.start.fill_(index)
        phase.update_best(holdout)
    assert phase.best.start[0] == best
    assert phase.best_holdout_loss == min(losses)
