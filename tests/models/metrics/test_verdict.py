"""What scores come to, in words."""

from models.metrics.scores import Estimate, create_score
from models.metrics.verdict import verdict_of

GOOD = [create_score("tstr_score", Estimate(0.95, 0.1), "higher", real_reference=0.96)]
POOR = [create_score("tstr_score", Estimate(0.5, 0.1), "higher", real_reference=0.96)]


def test_a_good_verdict_by_few_items_says_so() -> None:
    assert (
        verdict_of(GOOD).reasons
        == verdict_of(GOOD, 100).reasons
        == ("no score indicates a problem",)
    )
    few = verdict_of(GOOD, 24)
    assert few.verdict == "good"
    assert few.reasons[1].startswith("the holdout has only 24 items")
    assert verdict_of(POOR, 24).reasons == ("tstr_score is 0.50; real items reach 0.96",)


def test_samples_that_cover_little_are_collapsed_where_they_look_real_and_poor_where_not() -> None:
    covered = create_score("coverage", Estimate(0.02, 0.01), "higher", real_reference=0.96)
    for precision, finding in ((0.9, "collapsed"), (0.5, "poor")):
        precise = create_score(
            "precision", Estimate(precision, 0.02), "higher", real_reference=0.94
        )
        assert verdict_of([covered, precise]).verdict == finding
