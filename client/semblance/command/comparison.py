"""`semblance bench`."""

from pathlib import Path

import click

from semblance import bench as benchmark
from semblance.command.options import FILES, connect, given, target_option, with_service
from semblance.command.output import print_json, print_line, print_note, terminal_width
from semblance.command.progress import watch


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILES)
@click.option(
    "--cpu-seconds",
    type=click.FloatRange(min=1),
    default=30,
    show_default=True,
    help="Training budget of each network in CPU-seconds.",
)
@target_option
@click.option(
    "--architecture",
    multiple=True,
    help="Architecture, such as auto or cgan. Repeat for more. Default: all.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed.")
@with_service
def bench(
    files: tuple[Path, ...],
    cpu_seconds: float,
    target: str | None,
    architecture: tuple[str, ...],
    seed: int,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Train all network architectures on your data and compare their scores in a table.

    Each network gets the same CPU time. Ctrl-C cancels the running job and shows the results so
    far.
    """
    results: list[benchmark.NetworkResult] = []
    with connect(url, key) as client:
        dataset = client.upload(*files, **given(target=target))
        try:
            for result in benchmark.run(
                client,
                dataset,
                cpu_seconds=cpu_seconds,
                seed=seed,
                networks=list(architecture) or None,
                watch=lambda job_id: watch(client, job_id, goes_on=False),
            ):
                results.append(result)
                print_note(result.status_text())
        finally:
            if as_json:
                print_json([result.to_json() for result in results])
            elif results:
                for line in benchmark.render_table(results, terminal_width()):
                    print_line(line)
