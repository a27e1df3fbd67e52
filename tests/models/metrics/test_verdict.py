"""Verdicts that follow from scores."""

from models.metrics.scores import Estimate, create_score
from models.metrics.verdict import Verdict, verdict_of

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


def test_samples_closer_to_training_rows_are_a_caveat_of_a_good_model() -> None:
    reason = (
        "56% of the samples are closer to a training row than to any of as many holdout rows; 50% "
        "would be by chance"
    )
    for error, reasons in ((0.07, ("no score indicates a problem",)), (0.05, (reason,))):
        share = create_score("dcr_share", Estimate(0.56, error), real_reference=0.5)
        assert verdict_of([*GOOD, share]) == Verdict("good", reasons)
    assert verdict_of([*POOR, share]).reasons == (
        "tstr_score is 0.50; real items reach 0.96",
        reason,
    )
    share = create_score("dcr_share", Estimate(0.66, 0.05), real_reference=0.5)
    verdict = verdict_of([*GOOD, share])
    assert (verdict.verdict, len(verdict.reasons)) == ("memorized", 1)


def test_samples_that_help_to_guess_training_items_are_a_caveat_unless_naive_ones_do_so() -> None:
    for naive_auc, count in ((0.5, 1), (0.65, 0)):
        auc = create_score(
            "membership_inference_auc",
            Estimate(0.7, 0.1),
            real_reference=0.5,
            naive_baseline=naive_auc,
        )
        verdict = verdict_of([*GOOD, auc])
        assert verdict.verdict == "good"
        assert sum("used for training" in reason for reason in verdict.reasons) == count


def test_rows_that_a_classifier_often_distinguishes_are_a_caveat_of_a_good_model() -> None:
    pairs = create_score("pairwise_tvd", Estimate(0.02), real_reference=0.02)
    reason = (
        "a classifier can often distinguish the samples from real rows: relation_detection_auc is "
        "0.71, with 0.5 for real rows and 1 for naive samples"
    )
    for auc, verdict, reasons in (
        (0.66, "good", ("no score indicates a problem",)),
        (0.71, "good", (reason,)),
        (
            0.79,
            "poor",
            (
                "relation_detection_auc is 0.79, closer to naive samples (1) than to real "
                "items (0.5)",
            ),
        ),
    ):
        score = create_score(
            "relation_detection_auc", Estimate(auc, 0.02), real_reference=0.5, naive_baseline=1.0
        )
        result = verdict_of([pairs, score])
        assert (result.verdict, result.reasons) == (verdict, reasons)
    assert verdict_of([score]).verdict == "good"  # of images, which have no such pairs
