"""The contrast of labels: the generator learns to tell the label of a row from another one."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.placement import CPU
from models.tabular.autoregressive.label_contrast import LabelContrast, add_copies
from models.tabular.autoregressive.phases import OrderedBatches
from models.tabular.data import TokenBatches
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.tokenizer import Tokenizer
from tests.models.tabular.tiny_networks import make_generator
from tests.models.tabular.tiny_tables import make_people, train_sampler

LABELS, ROWS = 3, 4


def test_the_contrast_is_the_likelihood_of_the_label_given_the_columns() -> None:
    network = make_generator([LABELS, 5, 4], seed=1)
    rows = torch.tensor([[0, 1, 2, 0], [4, 2, 0, 1], [3, 3, 1, 0]])
    others = torch.tensor([1, 0, 0, 2])
    visits = torch.tensor([1.0, 4.0, 1.0, 1.0], dtype=torch.float64)
    contrast = LabelContrast.fit(rows[0], visits, LABELS, CPU)
    with torch.no_grad():
        losses = contrast.losses(network(add_copies(rows, others)), rows[0], others)
        for i in range(ROWS):
            joint = {}
            for label in (int(rows[0, i]), int(others[i])):
                row = torch.tensor([label, *rows[1:, i]])[:, None]
                joint[label] = float((-network(row).sum()).exp()) * (4 if label == 1 else 1)
            expected = -np.log(joint[int(rows[0, i])] / sum(joint.values()))
            assert float(losses[i]) == pytest.approx(expected, rel=1e-4)


def test_each_row_of_a_batch_is_compared_with_every_other_label_in_turn() -> None:
    table, schema = make_people(200)
    tokenizer = Tokenizer.fit(table, schema, target_column="city", seed=1)
    rows = TokenBatches(torch.from_numpy(tokenizer.encode(table, 1)), 50, 1)
    batches = OrderedBatches(rows, rows, tokenizer, 0.0)
    own, pairs = set(), set()
    for step in range(40):
        tokens, _, others = batches.batch_at(step)
        own |= set(tokens[:, 0].tolist())
        pairs |= set(zip(tokens[:, 0].tolist(), others.tolist(), strict=True))
    labels = range(tokenizer.step_sizes[0])
    assert len(own) > 2
    assert pairs == {(a, b) for a in own for b in labels if a != b}


def test_samples_of_a_label_follow_a_rule_that_two_columns_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = rng.choice(list("abc"), (4, 500))
    columns = dict(zip(["first", "noise", "more noise", "last"], values, strict=True))
    columns["label"] = np.where(values[0] == values[3], "equal", "different")
    table = pa.table(columns)
    schema = tuple(ColumnSchema(name, "category") for name in table.column_names)
    options = {"steps": 60, "warmup_steps": 10, "critic_budget_fraction": 0.0, "relations": False}
    broken = {}
    for weight in (0.0, 3.0):
        sampler = train_sampler(
            table, schema, tmp_path, label="label", **options, label_contrast=weight
        )
        samples = sampler.sample(1, np.arange(1_000), {"label": "equal"}).rows
        broken[weight] = np.mean(np.array(samples["first"]) != np.array(samples["last"]))
    assert broken[3.0] < broken[0.0] / 2


def test_small_tables_with_classes_are_learned_with_the_contrast() -> None:
    def weight(rows: int, *, has_classes: bool) -> float:
        data = TableData(rows, columns=5, categorical_columns=1, has_classes=has_classes)
        return resolve(data, "fast", {}).label_contrast

    assert weight(9_999, has_classes=True) > 0
    assert weight(10_000, has_classes=True) == 0
    assert weight(9_999, has_classes=False) == 0
