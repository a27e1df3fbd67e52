"""Evaluation of good, naive, collapsed and memorized rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.metrics.baselines import sample_independent
from models.metrics.gradient_boosting import classify, regress
from models.metrics.scores import Score
from models.metrics.statistics import MAX_SCATTER_POINTS
from models.metrics.tabular.boosted_trees import score_detection, score_relation_detection
from models.metrics.tabular.evaluation import EvaluationResult, evaluate
from models.metrics.tabular.frames import Binning, CategoryMaps, Compared, NumericFrame
from models.metrics.tabular.global_utility import score_global_utility
from models.metrics.tabular.label_fidelity import score_label_fidelity
from models.metrics.tabular.relation_checks import score_relations
from models.metrics.verdict import verdict_of
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema, ColumnType

SAMPLE_COUNT = 1_000
SCHEMA = (
    ColumnSchema("age", "number"),
    ColumnSchema("height", "number", nullable=True),
    ColumnSchema("city", "category"),
    ColumnSchema("rich", "boolean"),
)


def never_stop() -> None:
    return


def make_people(count: int, seed: int) -> pa.Table:
    """Return people: the rich are older, those in Rome taller; some heights are missing."""
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
        make_people(3_000, 1), SCHEMA, target_column="rich", holdout_fraction=0.3, seed=1
    )


@pytest.fixture(scope="module")
def results(data: LabeledRows) -> dict[str, EvaluationResult]:
    rng = np.random.default_rng(5)
    unseen = make_people(SAMPLE_COUNT, 2)
    shuffled = {
        name: unseen.column(name).take(pa.array(rng.permutation(SAMPLE_COUNT)))
        for name in unseen.column_names
    }
    samples = {
        "good": unseen,
        "poor": pa.table(shuffled),
        "collapsed": unseen.take(pa.array(np.zeros(SAMPLE_COUNT, np.int64))),
        "memorized": data.take(rng.choice(data.train, SAMPLE_COUNT)),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.metrics.gradient_boosting.TREES", 40)
        return {
            name: evaluate(data, rows, seed=0, check_stop=never_stop)
            for name, rows in samples.items()
        }


def test_scores_and_verdicts_distinguish_good_and_bad_rows(
    results: dict[str, EvaluationResult],
) -> None:
    scores_of: dict[str, dict[str, Score]] = {}
    for name, result in results.items():
        scores_of[name] = {score.name: score for score in result.scores}
        verdict = verdict_of(result.scores)
        assert verdict.verdict == name, (name, verdict.reasons)
    pairwise = {name: scores["pairwise_tvd"].value for name, scores in scores_of.items()}
    assert pairwise["good"] < 0.6 * pairwise["poor"] < 0.6 * pairwise["collapsed"]
    detection_auc = {name: scores["detection_auc"].value for name, scores in scores_of.items()}
    detection_accuracy = {
        name: scores["detection_accuracy"].value for name, scores in scores_of.items()
    }
    assert all(
        abs(detection_accuracy[name] - 0.5) <= abs(detection_auc[name] - 0.5) + 0.02
        for name in scores_of
    )
    assert detection_accuracy["good"] < 0.6 < 0.7 < detection_accuracy["poor"]
    assert abs(detection_auc["good"] - 0.5) < 0.08
    assert detection_auc["poor"] > 0.75
    utility = {name: scores["tstr_score"].value for name, scores in scores_of.items()}
    assert utility["good"] > 0.9 > 0.6 > utility["poor"]
    assert scores_of["memorized"]["exact_match_rate"].value == 1
    assert scores_of["good"]["exact_match_rate"].value == 0
    attack_auc = {name: scores["membership_inference_auc"] for name, scores in scores_of.items()}
    assert attack_auc["memorized"].ci95[0] > 0.6
    assert attack_auc["good"].ci95[0] < 0.5 < attack_auc["good"].ci95[1]
    assert (
        scores_of["memorized"]["membership_inference_tpr_at_1pct_fpr"].ci95[0]
        > 0.2
        > scores_of["good"]["membership_inference_tpr_at_1pct_fpr"].ci95[1]
    )


def test_statistics_compare_real_and_synthetic_columns(
    data: LabeledRows, results: dict[str, EvaluationResult]
) -> None:
    statistics = results["good"].report_sections["statistics"]
    by_column = {row["column"]: row for row in statistics if row["label"] is None}
    real, synthetic = by_column["height"]["real"], by_column["height"]["synthetic"]
    assert real["count"] + real["missing"] == len(data.holdout)
    assert synthetic["missing"] == pytest.approx(SAMPLE_COUNT / 10, abs=40)
    assert real["median"] == pytest.approx(synthetic["median"], abs=0.05)
    assert real["min"] < real["q25"] < real["median"] < real["q75"] < real["max"]
    by_label = {row["label"]: row["real"] for row in statistics if row["column"] == "age"}
    assert by_label["true"]["mean"] - by_label["false"]["mean"] == pytest.approx(20, abs=2)
    assert by_label["true"]["count"] + by_label["false"]["count"] == len(data.holdout)
    histogram = by_column["age"]["histogram"]
    assert sum(histogram["real"]) == pytest.approx(1) == sum(histogram["synthetic"])
    assert len(histogram["edges"]) == len(histogram["real"]) + 1
    assert by_column["city"]["synthetic"]["shares"]["Rome"] == pytest.approx(1 / 3, abs=0.06)


def test_associations_and_scatter_show_dependencies_between_columns(
    results: dict[str, EvaluationResult],
) -> None:
    for name, dependent in (("good", True), ("poor", False)):
        associations = results[name].report_sections["column_associations"]
        age, rich, city = (associations["columns"].index(n) for n in ("age", "rich", "city"))
        assert associations["real"][age][rich] > 0.6
        assert (associations["synthetic"][age][rich] > 0.6) == dependent
        assert associations["real"][city][rich] < 0.15
        scatter = results[name].report_sections["scatter"]
        assert len(scatter["real"]) == len(scatter["synthetic"]) == MAX_SCATTER_POINTS
        assert 0.3 < scatter["explained_variance_ratio"] < 1
    distances = {
        name: results[name].report_sections["nearest_train_distance"]
        for name in ("good", "memorized")
    }
    assert distances["memorized"]["synthetic"][0] > distances["good"]["synthetic"][0] + 0.5


def test_rare_values_of_a_column_that_is_mostly_zero_are_compared() -> None:
    def make_gains(share: float, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        return pa.table(
            {"gain": (rng.random(2_000) < share) * rng.normal(50, 5, 2_000), "x": rng.random(2_000)}
        )

    schema = (ColumnSchema("gain", "number"), ColumnSchema("x", "number"))
    data = LabeledRows.split(
        make_gains(0.08, 1), schema, target_column=None, holdout_fraction=0.4, seed=1
    )
    for share, distance in ((0.08, 0.02), (0.0, 0.08)):
        scores = {
            s.name: s
            for s in evaluate(data, make_gains(share, 2), seed=0, check_stop=never_stop).scores
        }
        assert scores["marginal_tvd"].per_label["gain"] == pytest.approx(distance, abs=0.03)


def test_a_target_that_is_always_missing_has_no_utility_score() -> None:
    def make_table(seed: int, share: float) -> pa.Table:
        rng = np.random.default_rng(seed)
        x = rng.random(200)
        y = pa.array(np.where(rng.random(200) < share, x, np.nan), from_pandas=True)
        return pa.table({"x": x, "y": y})

    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number", nullable=True))
    data = LabeledRows.split(
        make_table(1, 0.5), schema, target_column="y", holdout_fraction=0.4, seed=1
    )
    for share, has_score in ((0.5, True), (0.0, False)):
        scores = evaluate(data, make_table(2, share), seed=0, check_stop=never_stop).scores
        assert any(score.name == "tstr_score" for score in scores) == has_score


@pytest.mark.parametrize(("holdout_rows", "is_scored"), [(39, False), (40, True)])
def test_detection_is_not_scored_by_fewer_rows_than_a_tree_can_split(
    holdout_rows: int, is_scored: bool
) -> None:
    table = make_people(200, 1)
    holdout = np.arange(200 - holdout_rows, 200)
    data = LabeledRows(table, SCHEMA, "rich", np.arange(200 - holdout_rows), holdout)
    evaluation = evaluate(data, make_people(500, 2), seed=1, check_stop=never_stop)
    names = {score.name for score in evaluation.scores}
    assert ("detection_auc" in names) == is_scored
    assert "tstr_score" in names


def test_numbers_whose_squares_overflow_are_evaluated() -> None:
    def make_lengths(seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        near = rng.integers(0, 2, 400)
        far = 1.5e308 * (2 * near - 1) * rng.uniform(0.9, 1, 400)
        return pa.table({"far": far, "near": near, "wide": 10.0 ** rng.uniform(-300, 300, 400)})

    schema = (
        ColumnSchema("far", "number"),
        ColumnSchema("near", "integer"),
        ColumnSchema("wide", "number"),
    )
    data = LabeledRows.split(
        make_lengths(1), schema, target_column="far", holdout_fraction=0.4, seed=1
    )
    result = evaluate(data, make_lengths(2), seed=0, check_stop=never_stop)
    report = [s.to_dict() for s in result.scores], result.report_sections
    assert json.loads(json.dumps(report, allow_nan=False))
    by_column = {row["column"]: row["real"] for row in result.report_sections["statistics"]}
    assert 1.3e308 < by_column["far"]["std"] < 1.5e308
    assert by_column["far"]["min"] == pc.min(data.take(data.holdout).column("far")).as_py()
    (utility,) = (score for score in result.scores if score.name == "tstr_score")
    assert utility.value > 0.9


def test_trees_learn_interactions_of_columns() -> None:
    rng = np.random.default_rng(0)
    bins = rng.integers(0, 8, (1_200, 3))
    unordered = np.array([False, False, True])
    y = ((bins[:, 0] > 3) ^ np.isin(bins[:, 2], [0, 3, 5])).astype(np.int64)
    probabilities = classify(bins[:800], unordered, y[:800], 2, bins[800:])[:, 1]
    assert ((probabilities > 0.5) == y[800:]).mean() > 0.97
    numbers = 3.0 * y[:800, None].astype(np.float64)
    predicted = regress(bins[:800], unordered, numbers, bins[800:])
    assert np.abs(predicted[:, 0] - 3 * y[800:]).mean() < 0.2


def test_trees_of_several_outputs_split_categories_by_the_output_that_differs() -> None:
    rng = np.random.default_rng(0)
    category = rng.integers(0, 40, (2_000, 1))
    is_chosen = np.isin(category[:, 0], rng.permutation(40)[:20])
    outputs = np.stack([np.zeros(2_000), is_chosen, np.zeros(2_000)], 1).astype(np.float64)
    predicted = regress(category, np.array([True]), outputs, category, trees=25, depth=1)
    assert np.abs(predicted[:, 1] - is_chosen).max() < 0.1
    assert np.abs(predicted[:, [0, 2]]).max() == 0


def test_samples_much_worse_than_naive_are_poor_where_naive_rows_are_as_good_as_real_ones() -> None:
    near = Score(
        "marginal_tvd", 0.131, (0.120, 0.142), "lower", real_reference=0.127, naive_baseline=0.130
    )
    assert verdict_of([near]).verdict == "good"
    far = Score(
        "marginal_tvd", 0.398, (0.393, 0.403), "lower", real_reference=0.127, naive_baseline=0.130
    )
    verdict = verdict_of([far])
    assert verdict.verdict == "poor"
    assert verdict.reasons == (
        "marginal_tvd is 0.398; real items have 0.127 and naive samples 0.13",
    )


def test_rows_that_are_detected_almost_as_often_as_naive_rows_are_poor() -> None:
    pairwise = Score(
        "pairwise_tvd", 0.05, (0.04, 0.06), "lower", real_reference=0.03, naive_baseline=0.15
    )
    good = Score(
        "detection_auc", 0.60, (0.57, 0.63), "target", real_reference=0.51, naive_baseline=0.99
    )
    bad = Score(
        "detection_auc", 0.88, (0.86, 0.90), "target", real_reference=0.51, naive_baseline=0.99
    )
    assert verdict_of([pairwise, good]).verdict == "good"
    verdict = verdict_of([pairwise, bad])
    assert verdict.verdict == "poor"
    assert verdict.reasons == (
        "detection_auc is 0.88, closer to naive samples (0.99) than to real items (0.51)",
    )
    assert verdict_of([bad]).verdict == "good"  # images have no `pairwise_tvd`


@pytest.mark.parametrize(("broken", "verdict"), [(4, "good"), (8, "poor")])
def test_a_model_that_breaks_a_relation_in_more_than_one_percent_of_samples_is_not_good(
    broken: int, verdict: str
) -> None:
    rng = np.random.default_rng(1)
    net, tax = rng.integers(100, 9_999, 500), rng.integers(1, 999, 500)
    table = pa.table({"net": net, "tax": tax, "total": net + tax})
    schema = tuple(ColumnSchema(name, "integer") for name in table.schema.names)
    data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.3, seed=1)
    samples = table.set_column(2, "total", pa.array(net + tax + (np.arange(500) < broken)))
    evaluation = evaluate(data, samples, seed=1, check_stop=never_stop)
    [relation] = evaluation.report_sections["relations"]
    assert relation["name"] == "net + tax = total"
    assert (relation["holds_in_samples"], relation["holds_in_holdout"]) == (1 - broken / 500, 1.0)
    assert relation["holds_in_naive_rows"] < 0.01
    [score] = [s for s in evaluation.scores if s.name == "relation_violation_rate"]
    assert (score.value, score.real_reference) == (broken / 500, 0.0)
    assert score.naive_baseline == 1 - relation["holds_in_naive_rows"]
    assert verdict_of(evaluation.scores).verdict == verdict


@pytest.mark.parametrize(("odd", "verdict"), [(0.05, "good"), (0.3, "poor")])
def test_prices_that_are_odder_than_those_of_training_rows_are_not_good(
    odd: float, verdict: str
) -> None:
    """A relation that 3 % of the training rows break may be broken by 6 % of the samples."""
    rng = np.random.default_rng(1)
    product, quantity = rng.integers(0, 20, 1_200), rng.integers(1, 99, 1_200)
    prices = np.round(rng.uniform(5, 90, 20), 2)

    def make_rows(share: float) -> pa.Table:
        is_odd = rng.random(len(product)) < share
        factor = np.where(is_odd, rng.uniform(0.5, 2, len(product)), 1.0)
        amount = np.round(prices[product] * quantity * factor, 2)
        names = pa.array([f"product {k}" for k in product])
        return pa.table({"product": names, "quantity": quantity, "amount": amount})

    table = make_rows(0.03)
    types: tuple[ColumnType, ...] = ("category", "integer", "number")
    schema = tuple(map(ColumnSchema, table.schema.names, types))
    data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.3, seed=1)
    train, holdout = data.take(data.train), data.take(data.holdout)
    scores, relations = score_relations(data, train, holdout, make_rows(odd), seed=1)
    name = "factor(product) * quantity ~ amount"
    [relation] = [each for each in relations if each["name"] == name]
    assert relation["holds_in_samples"] == pytest.approx(1 - odd, abs=0.03)
    assert verdict_of(scores).verdict == verdict


@dataclass(frozen=True)
class Frames:
    """Training rows, holdout rows, and the frames that a score compares with the latter."""

    train: NumericFrame
    real: NumericFrame
    maps: CategoryMaps

    @classmethod
    def of(cls, make: Callable[[int], pa.Table], schema: Sequence[ColumnSchema]) -> "Frames":
        tables = make(1), make(2)
        maps = CategoryMaps.fit(tables, schema)
        train, real = (maps.to_frame(table, table.column_names) for table in tables)
        return cls(train, real, maps)

    def compared(self, synthetic: pa.Table) -> Compared:
        naive = NumericFrame(sample_independent(self.train.columns, len(self.train), 1))
        return self.maps.to_frame(synthetic, synthetic.column_names), self.train, naive


def test_a_rare_label_with_the_numbers_of_another_one_is_detected() -> None:
    def make(seed: int, *, fraud_amount: float = 900.0) -> pa.Table:
        rng = np.random.default_rng(seed)
        fraud = rng.random(2_000) < 0.03
        amount = rng.normal(np.where(fraud, fraud_amount, 60.0), 10)
        return pa.table({"amount": amount, "fraud": np.where(fraud, "yes", "no")})

    frames = Frames.of(make, (ColumnSchema("amount", "number"), ColumnSchema("fraud", "category")))
    coarse = Binning.fit(frames.train, frames.maps, 10)
    scores = {}
    for name, synthetic in {
        "good": make(3),
        "mixed": make(3, fraud_amount=60.0),
        "missing": make(3).filter(pc.field("fraud") == "no"),
    }.items():
        compared = frames.compared(synthetic)
        [scores[name]] = score_label_fidelity(
            frames.train, frames.real, compared, coarse, frames.maps, "fraud", 0, never_stop
        )
    assert scores["good"].per_label["yes"] < 0.3 < 0.8 < scores["mixed"].per_label["yes"]
    assert scores["missing"].per_label["yes"] == 1
    assert scores["mixed"].per_label["no"] < 0.1
    assert verdict_of([scores["good"]]).verdict == "good"
    assert (
        verdict_of([scores["mixed"]]).verdict == verdict_of([scores["missing"]]).verdict == "poor"
    )


def test_numbers_that_determine_each_other_less_than_in_real_rows_are_detected_by_relations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("models.metrics.gradient_boosting.TREES", 20)

    def make(seed: int, *, noise: float = 0.01) -> pa.Table:
        rng = np.random.default_rng(seed)
        net = rng.lognormal(4, 1, 1_200)
        gross = 1.19 * net * rng.normal(1, noise, 1_200)
        return pa.table({"net": net, "gross": gross, "other": rng.random(1_200)})

    schema = [ColumnSchema(name, "number") for name in ("net", "gross", "other")]
    frames = Frames.of(make, schema)

    def detection_auc(synthetic: pa.Table) -> Score:
        compared = frames.compared(synthetic)
        [score] = score_relation_detection(
            frames.train, frames.real, compared, frames.maps, 0, never_stop
        )
        return score

    good, noisy = detection_auc(make(3)), detection_auc(make(3, noise=0.04))
    assert good.naive_baseline is not None
    assert good.value < 0.6 < 0.75 < noisy.value < good.naive_baseline
    fine = Binning.fit(frames.train, frames.maps, 64)
    compared = frames.compared(make(3, noise=0.04))
    [by_columns, _] = score_detection(frames.real, compared, fine, 0, never_stop)
    assert by_columns.value < noisy.value - 0.1
    unrelated = [NumericFrame({"x": f.columns["other"]}) for f in (frames.train, frames.real)]
    train, real = unrelated
    assert not score_relation_detection(
        train, real, (train, train, train), frames.maps, 0, never_stop
    )


def test_global_utility_falls_where_a_column_no_longer_follows_from_the_others() -> None:
    def make(seed: int, *, follows: bool = True) -> pa.Table:
        rng = np.random.default_rng(seed)
        a, b = rng.random((2, 1_500))
        exclusive = (a > 0.5) ^ (b > 0.5)
        shown = exclusive if follows else rng.permutation(exclusive)
        return pa.table({"a": a, "b": b, "c": np.where(shown, "yes", "no"), "d": a + 0.1 * b})

    schema = [ColumnSchema("c", "category"), *(ColumnSchema(n, "number") for n in "abd")]
    frames = Frames.of(make, schema)
    good, broken = (
        score_global_utility(
            frames.train, frames.real, frames.compared(rows), frames.maps, 0, never_stop
        )[0]
        for rows in (make(3), make(3, follows=False))
    )
    assert good.per_label["c"] > 0.9 > 0.6 > broken.per_label["c"] > 0.4
    assert good.per_label["d"] == pytest.approx(broken.per_label["d"], abs=0.05)
    assert good.value == pytest.approx(good.real_reference, abs=0.05)
    assert good.naive_baseline is not None
    assert good.naive_baseline < broken.value < good.ci95[0]
    assert verdict_of([good]).verdict == "good"
    assert verdict_of([broken]).verdict == "poor"
