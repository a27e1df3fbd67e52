"""What scores come to, in words."""

from models.measures.scores import Measured, score
from models.measures.verdict import verdict

GOOD = [score("utility", Measured(0.95, 0.1), "higher", ceiling=0.96)]
POOR = [score("utility", Measured(0.5, 0.1), "higher", ceiling=0.96)]


def test_a_good_verdict_by_few_items_says_so() -> None:
    assert verdict(GOOD).reasons == verdict(GOOD, 100).reasons == ("no measure speaks against it",)
    few = verdict(GOOD, 24)
    assert few.finding == "good"
    assert few.reasons[1].startswith("24 unseen real items are few")
    assert verdict(POOR, 24).reasons == ("utility is 0.50; that of real items 0.96",)


def test_samples_that_cover_little_are_collapsed_where_they_look_real_and_poor_where_not() -> None:
    covered = score("coverage", Measured(0.02, 0.01), "higher", ceiling=0.96)
    for precision, finding in ((0.9, "collapsed"), (0.5, "poor")):
        precise = score("precision", Measured(precision, 0.02), "higher", ceiling=0.94)
        assert verdict([covered, precise]).finding == finding
