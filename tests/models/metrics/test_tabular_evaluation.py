"""Real, good, independent, collapsed and replayed rows are told from each other."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.metrics.gradient_boosting import classify, regress
from models.metrics.scores import Score
from models.metrics.statistics import MAX_SCATTER_POINTS
from models.metrics.tabular_evaluation import EvaluationResult, evaluate
from models.metrics.verdict import verdict_of
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema

COUNT = 1_000
SCHEMA = (
    ColumnSchema("age", "number"),
    ColumnSchema("height", "number", nullable=True),
    ColumnSchema("city", "category"),
    ColumnSchema("rich", "boolean"),
)


def go_on() -> None:
    return


def people(count: int, seed: int) -> pa.Table:
    """The rich are older; who lives in Rome is tall, and some do not tell."""
    rng = np.random.default_rng(seed)
    rich = rng.random(count) < 0.4
    city = rng.choice(["Rome", "Oslo", "Lima"], count)
    height = rng.normal(1.7 + 0.2 * (city == "Rome"), 0.05)
    return pa.table(
        {
            "age": rng.normal(40 + 20 * rich, 8),
            "height": pa.array(height, mask=rng.random(count) < 0.1),
            "city": pa.array(city),
            "rich": rich,
        }
    )


@pytest.fixture(scope="module")
def data() -> LabeledRows:
    return LabeledRows.split(
        people(3_000, 1), SCHEMA, target_column="rich", holdout_fraction=0.3, seed=1
    )


@pytest.fixture(scope="module")
def judged(data: LabeledRows) -> dict[str, EvaluationResult]:
    rng = np.random.default_rng(5)
    fresh = people(COUNT, 2)
    shuffled = {
        name: fresh.column(name).take(pa.array(rng.permutation(COUNT)))
        for name in fresh.column_names
    }
    made = {
        "good": fresh,
        "poor": pa.table(shuffled),
        "collapsed": fresh.take(pa.array(np.zeros(COUNT, np.int64))),
        "memorized": data.take(rng.choice(data.train, COUNT)),
    }
    return {name: evaluate(data, rows, seed=0, check_stop=go_on) for name, rows in made.items()}


def test_rows_are_ordered_and_the_verdict_says_what_is_wrong(
    judged: dict[str, EvaluationResult],
) -> None:
    found: dict[str, dict[str, Score]] = {}
    for name, judgement in judged.items():
        found[name] = {score.name: score for score in judgement.scores}
        said = verdict_of(judgement.scores)
        assert said.verdict == name, (name, said.reasons)
    pairs = {name: scores["pairwise_tvd"].value for name, scores in found.items()}
    assert pairs["good"] < 0.6 * pairs["poor"] < 0.6 * pairs["collapsed"]
    apart = {name: scores["detection_auc"].value for name, scores in found.items()}
    right = {name: scores["detection_accuracy"].value for name, scores in found.items()}
    assert all(abs(right[name] - 0.5) <= abs(apart[name] - 0.5) + 0.02 for name in found)
    assert right["good"] < 0.6 < 0.7 < right["poor"]
    assert abs(apart["good"] - 0.5) < 0.08
    assert apart["poor"] > 0.75
    useful = {name: scores["tstr_score"].value for name, scores in found.items()}
    assert useful["good"] > 0.9 > 0.6 > useful["poor"]
    assert found["memorized"]["exact_match_rate"].value == 1
    assert found["good"]["exact_match_rate"].value == 0
    attack = {name: scores["membership_inference_auc"] for name, scores in found.items()}
    assert attack["memorized"].ci95[0] > 0.6
    assert attack["good"].ci95[0] < 0.5 < attack["good"].ci95[1]
    assert (
        found["memorized"]["membership_inference_tpr_at_1pct_fpr"].ci95[0]
        > 0.2
        > found["good"]["membership_inference_tpr_at_1pct_fpr"].ci95[1]
    )


def test_statistics_stand_side_by_side(
    data: LabeledRows, judged: dict[str, EvaluationResult]
) -> None:
    statistics = judged["good"].report_sections["statistics"]
    by_column = {row["column"]: row for row in statistics if row["label"] is None}
    real, made = by_column["height"]["real"], by_column["height"]["synthetic"]
    assert real["count"] + real["missing"] == len(data.holdout)
    assert made["missing"] == pytest.approx(COUNT / 10, abs=40)
    assert real["median"] == pytest.approx(made["median"], abs=0.05)
    assert real["min"] < real["q25"] < real["median"] < real["q75"] < real["max"]
    rich = {row["label"]: row["real"] for row in statistics if row["column"] == "age"}
    assert rich["true"]["mean"] - rich["false"]["mean"] == pytest.approx(20, abs=2)
    assert rich["true"]["count"] + rich["false"]["count"] == len(data.holdout)
    bars = by_column["age"]["histogram"]
    assert sum(bars["real"]) == pytest.approx(1) == sum(bars["synthetic"])
    assert len(bars["edges"]) == len(bars["real"]) + 1
    assert by_column["city"]["synthetic"]["shares"]["Rome"] == pytest.approx(1 / 3, abs=0.06)


def test_pairs_and_dots_show_what_the_columns_have_to_do_with_each_other(
    judged: dict[str, EvaluationResult],
) -> None:
    for name, related in (("good", True), ("poor", False)):
        pairs = judged[name].report_sections["column_associations"]
        age, rich, city = (pairs["columns"].index(n) for n in ("age", "rich", "city"))
        assert pairs["real"][age][rich] > 0.6
        assert (pairs["synthetic"][age][rich] > 0.6) == related
        assert pairs["real"][city][rich] < 0.15
        scatter = judged[name].report_sections["scatter"]
        assert len(scatter["real"]) == len(scatter["synthetic"]) == MAX_SCATTER_POINTS
        assert 0.3 < scatter["explained_variance_ratio"] < 1
    near = {
        name: judged[name].report_sections["nearest_train_distance"]
        for name in ("good", "memorized")
    }
    assert near["memorized"]["synthetic"][0] > near["good"]["synthetic"][0] + 0.5


def test_of_a_column_that_is_mostly_nothing_the_rest_is_seen() -> None:
    def gains(share: float, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        return pa.table(
            {"gain": (rng.random(2_000) < share) * rng.normal(50, 5, 2_000), "x": rng.random(2_000)}
        )

    schema = (ColumnSchema("gain", "number"), ColumnSchema("x", "number"))
    data = LabeledRows.split(
        gains(0.08, 1), schema, target_column=None, holdout_fraction=0.4, seed=1
    )
    for share, far in ((0.08, 0.02), (0.0, 0.08)):
        scores = {
            s.name: s for s in evaluate(data, gains(share, 2), seed=0, check_stop=go_on).scores
        }
        assert scores["marginal_tvd"].per_label["gain"] == pytest.approx(far, abs=0.03)


def test_a_target_that_is_never_known_has_no_utility() -> None:
    def table(seed: int, share: float) -> pa.Table:
        rng = np.random.default_rng(seed)
        x = rng.random(200)
        y = pa.array(np.where(rng.random(200) < share, x, np.nan), from_pandas=True)
        return pa.table({"x": x, "y": y})

    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number", nullable=True))
    data = LabeledRows.split(table(1, 0.5), schema, target_column="y", holdout_fraction=0.4, seed=1)
    for share, measured in ((0.5, True), (0.0, False)):
        scores = evaluate(data, table(2, share), seed=0, check_stop=go_on).scores
        assert any(score.name == "tstr_score" for score in scores) == measured


def test_numbers_so_large_that_their_squares_are_none_are_measured_all_the_same() -> None:
    def lengths(seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        near = rng.integers(0, 2, 400)
        far = 1.5e308 * (2 * near - 1) * rng.uniform(0.9, 1, 400)
        return pa.table({"far": far, "near": near, "wide": 10.0 ** rng.uniform(-300, 300, 400)})

    schema = (
        ColumnSchema("far", "number"),
        ColumnSchema("near", "integer"),
        ColumnSchema("wide", "number"),
    )
    data = LabeledRows.split(lengths(1), schema, target_column="far", holdout_fraction=0.4, seed=1)
    found = evaluate(data, lengths(2), seed=0, check_stop=go_on)
    told = [s.to_dict() for s in found.scores], found.report_sections
    assert json.loads(json.dumps(told, allow_nan=False))
    by_column = {row["column"]: row["real"] for row in found.report_sections["statistics"]}
    assert 1.3e308 < by_column["far"]["std"] < 1.5e308
    assert by_column["far"]["min"] == pc.min(data.take(data.holdout).column("far")).as_py()
    (utility,) = (score for score in found.scores if score.name == "tstr_score")
    assert utility.value > 0.9


def test_trees_learn_what_no_single_column_tells() -> None:
    rng = np.random.default_rng(0)
    bins = rng.integers(0, 8, (1_200, 3))
    unordered = np.array([False, False, True])
    y = ((bins[:, 0] > 3) ^ np.isin(bins[:, 2], [0, 3, 5])).astype(np.int64)
    said = classify(bins[:800], unordered, y[:800], 2, bins[800:])[:, 1]
    assert ((said > 0.5) == y[800:]).mean() > 0.97
    far = regress(bins[:800], unordered, 3.0 * y[:800], bins[800:])
    assert np.abs(far - 3 * y[800:]).mean() < 0.2


def test_far_worse_than_naive_is_poor_where_naive_rows_are_as_good_as_real_ones() -> None:
    near = Score(
        "marginal_tvd", 0.131, (0.120, 0.142), "lower", real_reference=0.127, naive_baseline=0.130
    )
    assert verdict_of([near]).verdict == "good"
    far = Score(
        "marginal_tvd", 0.398, (0.393, 0.403), "lower", real_reference=0.127, naive_baseline=0.130
    )
    said = verdict_of([far])
    assert said.verdict == "poor"
    assert said.reasons == ("marginal_tvd is 0.398; real items have 0.127 and naive samples 0.13",)


def test_rows_that_are_told_from_real_ones_nearly_as_often_as_naive_ones_are_poor() -> None:
    pairs = Score(
        "pairwise_tvd", 0.05, (0.04, 0.06), "lower", real_reference=0.03, naive_baseline=0.15
    )
    good = Score(
        "detection_auc", 0.60, (0.57, 0.63), "target", real_reference=0.51, naive_baseline=0.99
    )
    bad = Score(
        "detection_auc", 0.88, (0.86, 0.90), "target", real_reference=0.51, naive_baseline=0.99
    )
    assert verdict_of([pairs, good]).verdict == "good"
    said = verdict_of([pairs, bad])
    assert said.verdict == "poor"
    assert said.reasons == (
        "detection_auc is 0.88, closer to naive samples (0.99) than to real items (0.51)",
    )
    assert verdict_of([bad]).verdict == "good"  # of images
