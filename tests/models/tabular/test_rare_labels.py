"""Rows of a rare label: training visits them often, and samples of the label look like them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.data import TokenBatches
from models.tabular.numbers.bin_edges import equal_bins, fit_bin_edges
from models.tabular.rare_labels import visits_per_epoch
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

ROWS, FRAUDS = 3_000, 15


def make_payments() -> pa.Table:
    """Return payments of which 0.5 % are frauds, with amounts and shops of their own."""
    rng = np.random.default_rng(7)
    is_fraud = rng.permutation(ROWS) < FRAUDS
    amount = np.where(is_fraud, rng.normal(900, 20, ROWS), rng.normal(60, 20, ROWS))
    shop = np.where(is_fraud, "web", rng.choice(["web", "north", "south"], ROWS))
    label = np.where(is_fraud, "fraud", "fine")
    return pa.table({"amount": np.round(amount, 2), "shop": shop, "label": label})


PAYMENT_SCHEMA = (
    ColumnSchema("amount", "number"),
    ColumnSchema("shop", "category"),
    ColumnSchema("label", "category"),
)


@pytest.mark.parametrize(
    ("random_order_prob", "steps"),
    [(0.0, 400), pytest.param(0.5, 800, marks=pytest.mark.slow)],
)
def test_samples_of_a_rare_label_have_its_numbers_and_categories(
    tmp_path: Path, random_order_prob: float, steps: int
) -> None:
    sampler = train_sampler(
        make_payments(),
        PAYMENT_SCHEMA,
        tmp_path,
        label="label",
        steps=steps,
        batch_size=128,
        embedding_dim=32,
        hidden_dim=32,
        eval_interval=100,
        random_order_prob=random_order_prob,
    )
    frauds = sampler.sample(3, np.arange(400), {"label": "fraud"}).rows
    amounts = frauds.column("amount").to_numpy()
    assert np.mean(amounts < 500) <= 0.05
    assert np.std(amounts[amounts > 500]) < 40
    assert np.mean(np.array(frauds.column("shop")) != "web") < 0.3
    every_label = np.array(sampler.sample(4, np.arange(4_000)).rows.column("label"))
    assert 5 <= np.sum(every_label == "fraud") <= 45


def test_rows_of_two_labels_with_the_same_index_are_independent(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table = pa.table({"size": rng.normal(0, 1, 600), "label": rng.choice(["a", "b"], 600)})
    schema = (ColumnSchema("size", "number"), ColumnSchema("label", "category"))
    sampler = train_sampler(table, schema, tmp_path, label="label", steps=5)
    sizes = [sampler.sample(1, np.arange(500), {"label": k}).rows["size"].to_numpy() for k in "ab"]
    assert abs(np.corrcoef(sizes)[0, 1]) < 0.3


def test_rows_of_rare_labels_are_visited_more_often_but_less_than_equally() -> None:
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    visits = visits_per_epoch(labels)
    assert (visits[:900] == 1).all()
    per_label = np.bincount(labels, visits)
    assert 90 < per_label[1] < 900
    assert visits[-1] > visits[900]
    assert per_label[2] < per_label[1]


def test_a_label_of_a_single_row_is_visited_no_more_than_one_of_ten_rows() -> None:
    ten, one = (visits_per_epoch(np.repeat([0, 1], [1_000 - n, n]))[-1] for n in (10, 1))
    assert one == ten


def test_an_epoch_visits_every_row_and_marks_the_further_visits() -> None:
    tokens = torch.arange(100)[None]
    visits = np.where(np.arange(100) < 4, 3.5, 1.0)
    batches = TokenBatches(tokens, 10, 1, visits)
    steps = [batches.batch_with_repeats_at(step) for step in range(batches.steps_per_epoch)]
    rows = torch.cat([batch[:, 0] for batch, _ in steps]).numpy()
    is_repeated = torch.cat([mask for _, mask in steps]).numpy()
    assert len(rows) == 110
    assert sorted(rows[~is_repeated]) == list(range(100))
    assert sorted(set(rows[is_repeated])) == [0, 1, 2, 3]
    assert np.isin(np.bincount(rows[is_repeated]), [2, 3]).all()
    again = TokenBatches(tokens, 10, 1, visits).batch_with_repeats_at(5)
    assert torch.equal(again[0], steps[5][0])
    assert torch.equal(again[1], steps[5][1])


def test_no_bin_mixes_the_values_of_a_rare_label_with_those_of_the_others() -> None:
    values = np.arange(1_000)
    labels = (values >= 985).astype(np.int64)
    assert 0.985 in fit_bin_edges(values, labels, 8)
    assert len(fit_bin_edges(values, labels, 8)) == 9


def test_labels_that_do_not_depend_on_the_values_leave_the_bins_equal() -> None:
    labels = np.random.default_rng(1).integers(0, 3, 1_000)
    np.testing.assert_array_equal(fit_bin_edges(np.arange(1_000), labels, 8), equal_bins(8))
