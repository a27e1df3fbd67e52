"""A model's report as one page that loads nothing."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from app.model_report import Series
from app.schemas.reports import Report, ScoreView

MEANS = {
    "frechet": "distance of the features of samples from those of unseen real images (Fréchet)",
    "kernel": "the same by a kernel, which few images do not bend",
    "precision": "share of the samples that lie among real images",
    "recall": "share of the real images that lie among samples",
    "density": "how many real images have a sample in their neighbourhood, beside what is due",
    "coverage": "share of the real images with a sample nearer than their fifth neighbour",
    "told_apart": "area under the ROC curve of a fresh critic: .5 if it cannot tell, 1 if always",
    "label_fidelity": "share of the samples that show the label that was asked for",
    "utility": "of a classifier that has learned from samples alone, on unseen real items",
    "near_copies": "share of the samples nearer to a training image than 99 % of unseen ones are",
    "replayed": "of these, those much nearer to one training image than to any other",
    "marginals": "total variation distance of single columns, on average",
    "pairs": "total variation distance of pairs of columns, on average",
    "dcr_share": "share of the samples nearer to a training row than to any unseen one",
    "exact_copies": "share of the samples that are a training row",
    "membership": "of a training item and an unseen one, how often an attacker, who looks how near "
    "samples come to them, names the right one",
    "exposed": "share of the training items that he is surer of than of 99 % of unseen ones",
    "different": "share of the samples that are no other sample's twin",
}
TITLES = {
    "samples.png": "Samples, a row for each label",
    "real.png": "Unseen real images, a row for each label",
    "nearest.png": "Samples, each with the nearest training image to its right",
}
CHARTS = {
    "Losses": ("critic_loss", "generator_loss"),
    "Critic's accuracy on held-out real and on fake items": (
        "critic_accuracy_real",
        "critic_accuracy_fake",
    ),
    "Coverage of held-out items": ("coverage",),
}
COLOURS = ("#1668a8", "#c2501b")
BARS = 12  # values of a category that are shown
WIDTH, HEIGHT = 480, 150

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #ddd;padding:.2rem .6rem;"
    "text-align:right}td:first-child,th:first-child{text-align:left}small{color:#666}"
    "div{overflow-x:auto}img{image-rendering:pixelated;min-width:16rem;max-width:100%}"
    "svg{max-width:100%;height:auto}.good{color:#176b2c}.poor,.collapsed,.memorised{color:#a11}"
)


def page_of(report: Report, course: Series, pictures: Mapping[str, bytes]) -> str:
    title = html.escape(f"Report on {report.reference}")
    head = '<!doctype html><html lang="en"><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width">'
    parts = [f"{head}<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"]
    parts += [_verdict(report)]
    if report.scores:
        parts += ["<h2>Scores</h2><div>", _scores(report.scores), "</div>", _by_class(report)]
    parts += [_picture(TITLES[name], data) for name, data in pictures.items()]
    parts += [_chart(name, course, lines) for name, lines in CHARTS.items()]
    if report.statistics:
        parts += ["<h2>Columns, real beside synthetic</h2>"]
        parts += [_column(row) for row in report.statistics]
    return "".join([*parts, "</html>"])


def _verdict(report: Report) -> str:
    state = report.state
    notes = []
    if state == "unmeasured":
        notes.append("<p>This model has not been measured.")
    elif state != "measured":
        detail = html.escape(str((report.error or {}).get("detail", "")))
        notes.append(f"<p>The newest evaluation: {state}. {detail}")
    said = report.verdict
    if said is None:
        return "".join(notes)
    reasons = [*said.reasons, *(f"not accepted: {what}" for what in report.unmet)]
    listed = "".join(f"<li>{html.escape(reason)}" for reason in reasons)
    about = f"{report.samples:,} samples beside {report.held_out:,} real items that training has "
    return (
        f"{''.join(notes)}<h2 class={said.finding}>{said.finding.capitalize()}</h2>"
        f"<ul>{listed}</ul><p>{about}not seen. <small>Seed {report.seed}.</small>"
    )


def _scores(scores: Sequence[ScoreView]) -> str:
    better = {"higher": "higher is better", "lower": "lower is better", "half": ".5 is best"}
    rows = [
        f"<tr><td>{html.escape(s.name)}<br><small>{MEANS.get(s.name, '')}; "
        f"{better[s.direction]}</small><td>{_number(s.value)}"
        f"<td>{_number(s.ci95[0])} … {_number(s.ci95[1])}"
        f"<td>{_number(s.ceiling)}<td>{_number(s.baseline)}"
        for s in scores
    ]
    heads = "<tr><th>score<th>samples<th>95 % interval<th>real items<th>naive samples"
    return f"<table>{heads}{''.join(rows)}</table>"


def _by_class(report: Report) -> str:
    """By label; the distances of pairs of columns, which may be many, are left to JSON."""
    shown = [s for s in report.scores if s.per_class and s.name != "pairs"]
    labels = list(dict.fromkeys(label for score in shown for label in score.per_class))
    if not shown:
        return ""
    heads = "".join(f"<th>{html.escape(score.name)}" for score in shown)
    rows = [
        f"<tr><td>{html.escape(label)}"
        + "".join(f"<td>{_number(score.per_class.get(label))}" for score in shown)
        for label in labels
    ]
    return f"<h2>One by one</h2><div><table><tr><th>{heads}{''.join(rows)}</table></div>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f}" if abs(value) < 1e6 else f"{value:.4g}"


def _picture(title: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{data}">'


def _chart(title: str, course: Series, names: Sequence[str]) -> str:
    lines = {name: course[name] for name in names if len(course.get(name, ())) > 1}
    if not lines:
        return ""
    steps = [step for line in lines.values() for step, _ in line]
    values = [value for line in lines.values() for _, value in line]
    low, high, last = min(values), max(values), max(steps) or 1
    drawn = []
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        points = " ".join(
            f"{WIDTH * step / last:.1f},{HEIGHT - HEIGHT * (v - low) / ((high - low) or 1):.1f}"
            for step, v in line
        )
        drawn.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>')
        drawn.append(
            f'<text x="4" y="{HEIGHT + 18 + 16 * (len(drawn) // 2)}" fill="{colour}" '
            f'font-size="13">{html.escape(name)}: {_number(line[-1][1])} at the end</text>'
        )
    box = f'viewBox="0 0 {WIDTH} {HEIGHT + 40}" width="{WIDTH}"'
    scale = f"<small>{_number(low)} to {_number(high)}, steps 0 to {last:,}</small>"
    return f'<h2>{title}</h2><svg role="img" {box}>{"".join(drawn)}</svg><br>{scale}'


def _column(row: dict[str, Any]) -> str:
    real, made = row["real"], row["synthetic"]
    title = f"<h3>{html.escape(row['column'])}</h3>"
    names = [name for name in real if name != "shares"]
    cells = "".join(
        f"<tr><td>{side}" + "".join(f"<td>{_number(about.get(name))}" for name in names)
        for side, about in (("real", real), ("synthetic", made))
    )
    heads = "".join(f"<th>{name}" for name in names)
    table = f"<div><table><tr><th>{heads}{cells}</table></div>"
    return (
        title + table + (_bars(real["shares"], made.get("shares", {})) if "shares" in real else "")
    )


def _bars(real: Mapping[str, float], made: Mapping[str, float]) -> str:
    shown = list(real)[:BARS]
    drawn = []
    for i, name in enumerate(shown):
        top = 30 * i
        for half, shares in enumerate((real, made)):
            width = 300 * shares.get(name, 0.0)
            drawn.append(
                f'<rect x="160" y="{top + 12 * half}" width="{width:.1f}" height="11" '
                f'fill="{COLOURS[half]}"/>'
            )
        drawn.append(
            f'<text x="152" y="{top + 16}" font-size="13" text-anchor="end">'
            f"{html.escape(name[:24])}</text>"
        )
    box = f'viewBox="0 0 {WIDTH} {30 * len(shown)}" width="{WIDTH}"'
    keys = "".join(
        f'<small style="color:{colour}">{side} </small>'
        for side, colour in zip(("real", "synthetic"), COLOURS, strict=True)
    )
    return f'{keys}<br><svg role="img" {box}>{"".join(drawn)}</svg>'
