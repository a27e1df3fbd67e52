"""Verdicts of evaluations, as text."""

from typing import Any

import click

from semblance.command.output import print_line, print_note, red

NOT_ACCEPTED = 6
TRAIN_LONGER = "Train longer, with a larger preset or budget. All scores: semblance report {model}"
NEXT_STEPS = {
    "good": "Generate samples: semblance sample {model} FILE",
    "poor": TRAIN_LONGER,
    "collapsed": TRAIN_LONGER,
    "memorized": "Train on more items. All scores: semblance report {model}",
}


def print_verdict(report: Any) -> None:
    """Print the verdict with its reasons, or why there is none, and the criteria that failed."""
    verdict = report["verdict"]
    if verdict is None:
        print_line(f"{report['state']}: {_missing_verdict_reason(report)}")
        return
    print_line(f"verdict: {verdict['verdict']}; {'; '.join(verdict['reasons'])}")
    print_failed_criteria(report)


def print_outcome(report: Any) -> None:
    """Print the verdict, its main reason and the next step on standard error."""
    verdict = report["verdict"]
    if verdict is None:
        print_note(f"{report['state']}: {_missing_verdict_reason(report)}")
        return
    print_note(f"verdict: {verdict['verdict']}; {verdict['reasons'][0]}")
    print_note(NEXT_STEPS[verdict["verdict"]].format(model=report["reference"]))


def print_failed_criteria(report: Any) -> None:
    for criterion in report["failed_criteria"]:
        print_note(red(f"quality gate failed: {criterion}"))


def check_gate(report: Any) -> None:
    """Print the verdict on standard error and exit with status 6 if the gate is not met."""
    verdict = report["verdict"]
    text = _missing_verdict_reason(report) if verdict is None else verdict["verdict"]
    print_note(f"verdict: {text}")
    print_failed_criteria(report)
    if verdict is None or report["failed_criteria"]:
        raise click.exceptions.Exit(NOT_ACCEPTED)


def _missing_verdict_reason(report: Any) -> str:
    reason: str | None = (report["error"] or {}).get("detail") or report.get("not_evaluable_reason")
    return reason or f"run `semblance evaluate {report['reference']}` to evaluate the model"
