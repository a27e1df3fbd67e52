"""HTML page of a report: text of customers is escaped wherever it appears."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from app.pages.report_page import render_page
from app.schemas.reports import Report
from core.errors import JobError

HOSTILE = "<script>'\"&</script>"
ESCAPED = "&lt;script&gt;&#39;&#34;&amp;&lt;/script&gt;"
HISTOGRAM = {"edges": [0.0, 1.0, 2.0], "real": [0.5, 0.5], "synthetic": [0.1, 0.9]}
NUMERIC = dict.fromkeys(("count", "missing", "mean", "std", "min", "max"), 1.0)


def score(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": 0.5,
        "ci95": (0.4, 0.6),
        "direction": "higher",
        "real_reference": 0.9,
        "naive_baseline": None,
        "per_label": {HOSTILE: 0.5},
    }


def column(name: str, label: str | None = None, **values: Any) -> dict[str, Any]:
    return {"column": name, "label": label, "real": NUMERIC, "synthetic": NUMERIC, **values}


def shares(values: dict[str, float]) -> dict[str, Any]:
    return {"count": 10, "missing": 0, "shares": values}


@pytest.fixture
def report() -> Report:
    return Report.model_validate(
        {
            "model": "mdl_1",
            "reference": HOSTILE,
            "state": "failed",
            "error": JobError("internal", HOSTILE).to_problem(),
            "evaluated_at": datetime(2026, 1, 1, tzinfo=UTC),
            "samples": 1000,
            "holdout_items": 200,
            "seed": 1,
            "verdict": {"verdict": "poor", "quality": "poor", "reasons": [HOSTILE]},
            "failed_criteria": [HOSTILE],
            "scores": [score("marginal_tvd"), score("dcr_share")],
            "pictures": {"samples.png": HOSTILE},
            "statistics": [
                column(HOSTILE, histogram=HISTOGRAM),
                column(HOSTILE, label=HOSTILE),
                column(HOSTILE, real=shares({HOSTILE[:16]: 1.0}), synthetic=shares({})),
            ],
            "column_associations": {
                "columns": [HOSTILE[:18], "b"],
                "real": [[1.0, 0.2], [0.2, 1.0]],
                "synthetic": [[1.0, 0.1], [0.1, 1.0]],
            },
            "relations": [
                {
                    "name": HOSTILE,
                    "kind": "sum",
                    "columns": [HOSTILE],
                    "holds_in_samples": 0.985,
                    "holds_in_holdout": 1.0,
                    "holds_in_naive_rows": 0.021,
                }
            ],
            "unseen_pairs": [
                {
                    "columns": [HOSTILE, "b"],
                    "in_samples": 0.415,
                    "in_holdout": 0.049,
                    "in_naive_rows": 0.91,
                }
            ],
            "scatter": {
                "explained_variance_ratio": 0.5,
                "real": [(0.0, 1.0)],
                "synthetic": [(1.0, 0.0)],
            },
            "nearest_train_distance": HISTOGRAM,
        }
    )


def test_text_of_the_customer_is_escaped_everywhere(report: Report) -> None:
    page = render_page(report, {"critic_loss": [(0, 1.0), (9, 2.0)]}, {"samples.png": b"png"})
    assert "<script" not in page
    # Title and heading, error, reason, criterion, title of the picture with its text, label of
    # the scores and of a table, three titles of charts with the names of their images, and the
    # statistics.
    assert page.count(ESCAPED) >= 13
    assert len(re.findall("<svg ", page)) == 7
    assert "1,000 samples were compared with 200 real items" in page


def test_columns_whose_values_do_not_belong_together_are_listed_with_their_shares(
    report: Report,
) -> None:
    page = render_page(report, {}, {})
    cells = "".join(f"<td>{cell}</td>" for cell in (f"{ESCAPED} and b", "41.5%", "4.9%", "91.0%"))
    assert cells in page


def test_a_report_without_an_evaluation_gives_the_reason() -> None:
    report = Report(
        model="mdl_1", reference="pets:1", state="not_evaluated", not_evaluable_reason="No <items>."
    )
    page = render_page(report, {}, {})
    assert "This model has not been evaluated: No &lt;items&gt;.</p>" in page
    assert "<h2" not in page


def test_pages_follow_the_color_scheme_of_the_reader(report: Report) -> None:
    page = render_page(report, {"coverage": [(0, 0.1), (10, 0.5)]}, {})
    assert "color-scheme: light dark" in page
    light, dark = re.split(r"@media \(prefers-color-scheme: dark\)", page)[:2]
    defined = set(re.findall(r"(--[\w-]+):", light))
    assert set(re.findall(r"(--[\w-]+):", dark)) == defined
    assert set(re.findall(r"var\((--[\w-]+)\)", page)) <= defined
    # Colors stand in the theme only.
    rest = page[page.index("img { background") :]
    assert not re.findall(r"#[0-9a-f]{3,6}\b", rest.partition(";")[2])


def test_names_between_backticks_are_code_and_all_else_is_escaped(report: Report) -> None:
    assert report.verdict is not None
    report.verdict.reasons = ["Raise `seed` <b> `<i>`."]
    page = render_page(report, {}, {})
    assert "Raise <code>seed</code> &lt;b&gt; <code>&lt;i&gt;</code>." in page
