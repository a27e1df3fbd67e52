"""Rows of which some values are given, and conditions on any column."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.tabular.autoregressive_networks import Generator
from models.tabular.autoregressive_sampler import UNKNOWN_TOKEN, AutoregressiveSampler, SubBinStep
from models.tabular.conditions import CompletionUnsupported, InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.partial_rows import PartialRows
from models.tabular.sampling import NUM_PARTICLES, TableSampler
from models.tabular.training import random_order
from tests.models.tabular.tiny_tables import make_people, make_trainer, train_sampler

ORDERS = ["as always", "any"]


@pytest.fixture(scope="module", params=ORDERS)
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    table, schema = make_people()
    options = {"label": "label", "steps": 200, "critic_budget_fraction": 0.0}
    random_order_prob = 1.0 if request.param == "any" else 0.0
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(table, schema, folder, random_order_prob=random_order_prob, **options)  # type: ignore[arg-type]


def test_given_values_come_back_untouched_and_the_rest_is_drawn(sampler: TableSampler) -> None:
    given = [
        {"city": "Köln", "income": 1234.56, "id": "mine"},
        {"label": "yes", "age": 33, "member": True},
        {"city": None, "since": "2020-05-17"},
        {},
    ]
    rows = sampler.complete(1, np.arange(4), PartialRows.parse(sampler.tokenizer, given)).rows
    assert rows.schema.equals(sampler.tokenizer.arrow)
    made = rows.to_pylist()
    assert (made[0]["city"], made[0]["income"], made[0]["id"]) == ("Köln", 1234.56, "mine")
    assert (made[1]["label"], made[1]["age"], made[1]["member"]) == ("yes", 33, True)
    assert made[2]["city"] is None
    assert made[2]["since"].isoformat()[:10] == "2020-05-17"
    assert all(row["label"] in ("no", "yes") and row["age"] >= 18 for row in made)


def test_what_is_given_late_in_a_row_decides_what_comes_before(sampler: TableSampler) -> None:
    """The label comes first; a city that is no Zürich says that it is no."""
    known = PartialRows.parse(sampler.tokenizer, [{"city": "Köln"}] * 200)
    labels = sampler.complete(1, np.arange(200), known).rows.column("label").to_pylist()
    assert labels.count("no") > 165
    known = PartialRows.parse(sampler.tokenizer, [{"city": "Zürich"}] * 200)
    labels = sampler.complete(1, np.arange(200), known).rows.column("label").to_pylist()
    assert labels.count("yes") > 165


def test_a_row_is_completed_alike_alone_and_in_any_company(sampler: TableSampler) -> None:
    given = [{"city": "Köln"}, {"age": 30 + 1, "income": 99.5}, {}] * 30
    known = PartialRows.parse(sampler.tokenizer, given)
    together = sampler.complete(7, np.arange(90), known).rows
    for k in (0, 1, 32, 89):
        alone = sampler.complete(7, np.array([k]), known.take(np.array([k]))).rows
        assert alone.equals(together.slice(k, 1))


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"nothing": 1}, "nothing"),
        ({"city": "Paris"}, "city"),
        ({"age": "old"}, "age"),
        ({"age": None}, "age"),
        ({"since": "soon"}, "since"),
        ({"since": "2020-05-17T01:00:00"}, "since"),
        ({"income": 0.125}, "income"),
    ],
)
def test_a_value_that_no_row_can_have_is_refused_by_row_and_column(
    sampler: TableSampler, row: dict[str, object], column: str
) -> None:
    with pytest.raises(InvalidPartialRow) as caught:
        PartialRows.parse(sampler.tokenizer, [{"age": 40}, row])
    assert (caught.value.row, caught.value.column) == (1, column)


def test_without_a_network_for_each_column_nothing_is_completed(tmp_path: Path) -> None:
    table, schema = make_people(50)
    whole = train_sampler(table, schema, tmp_path, steps=2, architecture="gan")
    with pytest.raises(CompletionUnsupported):
        whole.complete(1, np.arange(1), PartialRows.parse(whole.tokenizer, [{"age": 40}]))


def test_conditions_on_any_column_are_direct_only_after_any_order(sampler: TableSampler) -> None:
    """Direct: no candidate is discarded, and every row meets what was asked."""
    for given in ({"city": "Köln"}, {"member": True, "7": [0, 2]}, {"city": None, "7": 1}):
        drawn = sampler.sample(1, np.arange(200), given)
        assert (drawn.acceptance_rate == 1.0) == sampler.supports_any_order
        for row in drawn.rows.to_pylist():
            for name, wanted in given.items():
                assert row[name] in (wanted if isinstance(wanted, list) else [wanted])
    # Two columns of which each is left a choice are chosen together, not one after the other.
    several = sampler.sample(1, np.arange(200), {"7": [0, 2], "city": ["Köln", "東京"]})
    assert several.acceptance_rate < 1.0
    assert set(several.rows.column("city").to_pylist()) == {"Köln", "東京"}
    ranged = sampler.sample(1, np.arange(200), {"income": {"gte": 3000}})
    assert min(ranged.rows.column("income").to_pylist()) >= 3000


def test_particles_follow_the_distribution_that_the_network_has() -> None:
    """Completions of the last of three steps agree with what free rows with it are like."""
    torch.manual_seed(3)
    digits: list[SubBinStep] = [None, None, None]
    nowhere = [np.full(3, np.nan)] * 3
    network = Generator(
        [3, 3, 3], nowhere, digits, embedding_dim=8, hidden_dim=8, dropout=0.0
    ).eval()
    with torch.no_grad():
        network.heads.biases[0].normal_(0, 1)
        network.heads.free[0].mul_(30)
    stepper = AutoregressiveSampler(network, digits)
    free = stepper.sample_tokens(torch.rand(3, 200_000), {})
    free = free[:, free[2] == 1]
    given = torch.full((3, 4_000), UNKNOWN_TOKEN)
    given[2] = 1
    made = stepper.complete(
        torch.rand(3, 4_000 * NUM_PARTICLES), torch.rand(4, 4_000).double(), given
    )
    assert (made[2] == 1).all()
    for step in (0, 1):
        shares = [torch.bincount(t[step], minlength=3) / t.shape[1] for t in (free, made)]
        assert torch.allclose(*shares, atol=0.04), shares


def test_a_random_order_keeps_the_steps_of_a_column_together() -> None:
    table, schema = make_people(100)
    trainer = make_trainer(table, schema)
    torch.manual_seed(0)
    orders = [random_order(trainer).tolist() for _ in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    for order in orders:
        assert sorted(order) == list(range(len(order)))
        for steps in trainer.tokenizer.column_slices:
            places = order[steps]
            assert places == list(range(places[0], places[0] + len(places)))


def test_what_comes_later_in_an_order_tells_nothing_of_what_comes_before() -> None:
    table, schema = make_people(100)
    trainer = make_trainer(table, schema)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    tokens = torch.from_numpy(trainer.tokenizer.encode(rows.take(np.arange(4)), 1))
    order = random_order(trainer)
    last = int(order.argmax())
    other = tokens.clone()
    other[last] = (other[last] + 1) % trainer.tokenizer.step_sizes[last]
    logits = [_by_step(trainer.G(t, order)) for t in (tokens, other)]
    assert all(torch.equal(logits[0][step], logits[1][step]) for step in logits[0])


def _by_step(groups: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[int, torch.Tensor]:
    pairs = [zip(steps.tolist(), logits, strict=True) for steps, logits in groups]
    return {step: part for group in pairs for step, part in group}
