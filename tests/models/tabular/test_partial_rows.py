"""Completion of partial rows, and conditions on any column."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.autoregressive.networks import build_generator
from models.tabular.autoregressive.phases import random_order
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import NUM_PARTICLES, complete_rows
from models.tabular.conditions.condition import (
    CompletionUnsupported,
    InvalidCondition,
    InvalidPartialRow,
)
from models.tabular.data import LabeledRows
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from tests.models.tabular.tiny_networks import make_generator
from tests.models.tabular.tiny_tables import make_people, make_settings, train_sampler

ORDERS = ["fixed order", "any order"]


@pytest.fixture(scope="module", params=ORDERS)
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    table, schema = make_people()
    options = {"label": "label", "steps": 200, "critic_budget_fraction": 0.0}
    random_order_prob = 1.0 if request.param == "any order" else 0.0
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(table, schema, folder, random_order_prob=random_order_prob, **options)  # type: ignore[arg-type]


def test_given_values_are_kept_and_the_rest_is_generated(sampler: TableSampler) -> None:
    given = [
        {"city": "Köln", "income": 1234.56, "id": "mine"},
        {"label": "yes", "age": 33, "member": True},
        {"city": None, "since": "2020-05-17"},
        {},
    ]
    rows = complete_rows(sampler, 1, np.arange(4), PartialRows.parse(sampler.tokenizer, given)).rows
    assert rows.schema.equals(sampler.tokenizer.arrow)
    completed = rows.to_pylist()
    assert (completed[0]["city"], completed[0]["income"], completed[0]["id"]) == (
        "Köln",
        1234.56,
        "mine",
    )
    assert (completed[1]["label"], completed[1]["age"], completed[1]["member"]) == ("yes", 33, True)
    assert completed[2]["city"] is None
    assert completed[2]["since"].isoformat()[:10] == "2020-05-17"
    assert all(row["label"] in ("no", "yes") and row["age"] >= 18 for row in completed)


def test_a_misspelt_column_is_answered_with_the_most_similar_one(sampler: TableSampler) -> None:
    with pytest.raises(InvalidPartialRow, match="Did you mean `income`"):
        PartialRows.parse(sampler.tokenizer, [{"incme": 1}])
    with pytest.raises(InvalidCondition, match="Did you mean `income`"):
        sampler.sample(1, np.arange(1), {"incme": 1})
    with pytest.raises(InvalidCondition, match="is an identifier"):
        sampler.sample(1, np.arange(1), {"id": "C-00001"})


def test_a_given_value_affects_earlier_columns(sampler: TableSampler) -> None:
    """The label is the first column; the city Köln occurs only with the label `no`."""
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"city": "Köln"}] * 200)
    labels = (
        complete_rows(sampler, 1, np.arange(200), partial_rows).rows.column("label").to_pylist()
    )
    assert labels.count("no") > 165
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"city": "Zürich"}] * 200)
    labels = (
        complete_rows(sampler, 1, np.arange(200), partial_rows).rows.column("label").to_pylist()
    )
    assert labels.count("yes") > 165


def test_a_completed_row_does_not_depend_on_its_batch(sampler: TableSampler) -> None:
    given = [{"city": "Köln"}, {"age": 30 + 1, "income": 99.5}, {}] * 30
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    together = complete_rows(sampler, 7, np.arange(90), partial_rows).rows
    for index in (0, 1, 32, 89):
        single = complete_rows(
            sampler, 7, np.array([index]), partial_rows.take(np.array([index]))
        ).rows
        assert single.equals(together.slice(index, 1))


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
def test_an_impossible_value_is_rejected_by_row_and_column(
    sampler: TableSampler, row: dict[str, object], column: str
) -> None:
    with pytest.raises(InvalidPartialRow) as error:
        PartialRows.parse(sampler.tokenizer, [{"age": 40}, row])
    assert (error.value.row, error.value.column) == (1, column)


def test_a_coded_column_is_missing_only_if_it_is_in_training_rows(tmp_path: Path) -> None:
    """An end, as a number of days after the start, is missing without any start."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, 10_000, 400)
    end = start + rng.integers(0, 30, 400)
    last = pa.array(end + rng.integers(0, 30, 400), mask=rng.random(400) < 0.1)
    table = pa.table({"start": start, "end": end, "last": last})
    schema = tuple(ColumnSchema(name, "integer") for name in table.column_names)
    sampler = train_sampler(table, schema, tmp_path, steps=10)
    assert {"end", "last"} <= sampler.tokenizer.coding.names
    PartialRows.parse(sampler.tokenizer, [{"last": None}])
    with pytest.raises(InvalidPartialRow, match="never missing"):
        PartialRows.parse(sampler.tokenizer, [{"end": None}])


def test_a_value_of_another_type_is_rejected_in_words(sampler: TableSampler) -> None:
    for row, message in (
        ({"age": "old"}, "must be an integer"),
        ({"since": "soon"}, "must be a date"),
    ):
        with pytest.raises(InvalidPartialRow, match=message):
            PartialRows.parse(sampler.tokenizer, [row])
        with pytest.raises(InvalidCondition, match=message):
            sampler.sample(1, np.arange(1), row)


def test_a_gan_cannot_complete_rows(tmp_path: Path) -> None:
    table, schema = make_people(50)
    gan = train_sampler(table, schema, tmp_path, steps=2, architecture="gan")
    with pytest.raises(CompletionUnsupported):
        complete_rows(gan, 1, np.arange(1), PartialRows.parse(gan.tokenizer, [{"age": 40}]))


def test_only_any_order_models_meet_conditions_without_rejections(sampler: TableSampler) -> None:
    """Every row meets the conditions; the acceptance rate is 1 if no candidate is rejected."""
    for conditions in ({"city": "Köln"}, {"member": True, "7": [0, 2]}, {"city": None, "7": 1}):
        samples = sampler.sample(1, np.arange(200), conditions)
        assert (samples.acceptance_rate == 1.0) == sampler.supports_any_order
        for row in samples.rows.to_pylist():
            for name, allowed in conditions.items():
                assert row[name] in (allowed if isinstance(allowed, list) else [allowed])
    # Two columns with several allowed values each are chosen jointly, with rejections.
    several = sampler.sample(1, np.arange(200), {"7": [0, 2], "city": ["Köln", "東京"]})
    assert several.acceptance_rate < 1.0
    assert set(several.rows.column("city").to_pylist()) == {"Köln", "東京"}
    ranged = sampler.sample(1, np.arange(200), {"income": {"gte": 3000}})
    assert min(ranged.rows.column("income").to_pylist()) >= 3000


@pytest.mark.parametrize("step", [1, 2])
def test_completions_follow_the_conditional_distribution(step: int) -> None:
    """Completions of a given step agree with unconditional rows that have this value."""
    network = make_generator([3, 3, 3], seed=3)
    with torch.no_grad():
        network.heads.biases[0].normal_(0, 1)
        network.heads.free[0].mul_(30)
        network.attention_offsets.normal_()
    sampler = AutoregressiveSampler(network, [None] * 3)
    unconditional = sampler.sample_tokens(torch.rand(3, 200_000), {})
    unconditional = unconditional[:, unconditional[step] == 1]
    given = torch.full((3, 4_000), UNKNOWN_TOKEN)
    given[step] = 1
    completed = sampler.complete(
        torch.rand(3, 4_000 * NUM_PARTICLES), torch.rand(4, 4_000).double(), given
    )
    assert (completed[step] == 1).all()
    first, second = {0, 1, 2} - {step}
    shares = [
        torch.bincount(tokens[first] * 3 + tokens[second], minlength=9) / tokens.shape[1]
        for tokens in (unconditional, completed)
    ]
    assert torch.allclose(*shares, atol=0.04), shares


def test_a_random_order_keeps_the_steps_of_a_column_together() -> None:
    table, schema = make_people(100)
    tokenizer = Tokenizer.fit(table, schema, target_column="label", seed=1)
    torch.manual_seed(0)
    orders = [random_order(tokenizer.column_slices).tolist() for _ in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    for order in orders:
        assert sorted(order) == list(range(len(order)))
        for steps in tokenizer.column_slices:
            positions = order[steps]
            assert positions == list(range(positions[0], positions[0] + len(positions)))


def test_later_steps_do_not_affect_earlier_steps() -> None:
    table, schema = make_people(100)
    tokenizer = Tokenizer.fit(table, schema, target_column="label", seed=1)
    network = build_generator(tokenizer, make_settings(table))
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    tokens = torch.from_numpy(tokenizer.encode(rows.take(np.arange(4)), 1))
    order = random_order(tokenizer.column_slices)
    last_step = int(order.argmax())
    changed = tokens.clone()
    changed[last_step] = (changed[last_step] + 1) % tokenizer.step_sizes[last_step]
    logits: list[dict[int, torch.Tensor]] = []
    network.heads.register_forward_hook(lambda _, __, output: logits.append(_by_step(output)))
    for t in (tokens, changed):
        network(t, order)
    assert all(torch.equal(logits[0][step], logits[1][step]) for step in logits[0])


def _by_step(step_groups: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[int, torch.Tensor]:
    pairs = [zip(steps.tolist(), logits, strict=True) for steps, logits in step_groups]
    return {step: step_logits for group in pairs for step, step_logits in group}


@pytest.mark.parametrize(
    ("values", "given", "message"),
    [
        (
            pa.array(np.arange(1950, 2020, 5)),
            1998,
            "only has values in steps of 5: the nearest are 1995 and 2000",
        ),
        (pa.array(np.arange(1, 90) / 4), 2.6, "steps of 0.25: the nearest are 2.5 and 2.75"),
        (pa.array(np.arange(1, 90) / 100), 0.125, "steps of 0.01: the nearest are 0.12 and 0.13"),
        (
            pa.array(np.arange("1990-01", "1999-01", dtype="M8[M]").astype("M8[us]")),
            "1992-03-05",
            "is between the values it may have: the nearest are 1992-03-01 and 1992-04-01",
        ),
        (
            pa.array(np.arange("1990-01", "1999-01", dtype="M8[M]").astype("M8[D]") - 1),
            "1992-03-05",
            "nearest are 1992-02-29 and 1992-03-31",
        ),
        (
            pa.array(np.arange("1990-01-01", "1999-01-01", 7, dtype="M8[D]").astype("M8[us]")),
            "1990-01-06T12:00:00",
            "nearest are 1990-01-01 and 1990-01-08",
        ),
        (
            pa.array(np.arange("1990-01", "1999-01", dtype="M8[M]").astype("M8[us]")),
            "9999-12-31",
            "nearest is 9999-12-01",
        ),
        (pa.array(np.arange(0, 99, 10, np.int8)), 127, "nearest is 120"),
    ],
)
def test_a_value_between_the_steps_of_a_column_is_rejected_with_the_nearest(
    values: pa.Array, given: Any, message: str
) -> None:
    table = pa.table({"x": values})
    type = "datetime" if pa.types.is_temporal(values.type) else "number"
    tokenizer = Tokenizer.fit(table, [ColumnSchema("x", type)], target_column=None, seed=0)
    with pytest.raises(InvalidPartialRow, match=message):
        PartialRows.parse(tokenizer, [{"x": given}])
