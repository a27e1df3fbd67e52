"""Verdicts that follow from scores."""

from models.metrics.scores import Estimate, create_score
from models.metrics.verdict import verdict_of

GOOD = [create_score("tstr_score", Estimate(0.95, 0.1), real_reference=0.96)]
POOR = [create_score("tstr_score", Estimate(0.5, 0.1), real_reference=0.96)]


def test_a_good_verdict_mentions_a_small_holdout() -> None:
    assert (
        verdict_of(GOOD).reasons
        == verdict_of(GOOD, 100).reasons
        == ("no score indicates a problem",)
    )
    small_holdout = verdict_of(GOOD, 24)
    assert small_holdout.verdict == "good"
    assert small_holdout.reasons[1].startswith("the holdout has only 24 items")
    assert verdict_of(POOR, 24).reasons == ("tstr_score is 0.50; real items reach 0.96",)


def test_low_coverage_is_collapsed_with_high_precision_and_poor_otherwise() -> None:
    coverage_score = create_score("coverage", Estimate(0.02, 0.01), real_reference=0.96)
    for precision, verdict in ((0.9, "collapsed"), (0.5, "poor")):
        precision_score = create_score("precision", Estimate(precision, 0.02), real_reference=0.94)
        assert verdict_of([coverage_score, precision_score]).verdict == verdict


def test_no_model_is_good_whose_samples_break_a_relation_of_all_training_rows() -> None:
    for broken, verdict in ((0.01, "good"), (0.02, "poor")):
        score = create_score("relation_violation_rate", Estimate(broken), real_reference=0.0)
        assert verdict_of([*GOOD, score]).verdict == verdict
    assert verdict_of([*GOOD, score]).reasons[0].startswith("2.0% of the samples break a relation")


def test_large_scores_are_shown_without_an_exponent() -> None:
    distance = create_score(
        "frechet_distance", Estimate(2_184.3, 1.0), real_reference=28.25, naive_baseline=2_500.0
    )
    assert verdict_of([distance]).reasons == (
        "frechet_distance is 2,184, closer to naive samples (2,500) than to real items (28.2)",
    )
