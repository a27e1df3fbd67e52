"""Entry point: the commands, and the exit code of each kind of error."""

import sys
from typing import Any

import click

from semblance.command import account, comparison, data, jobs, models, sampling
from semblance.command.completion import completion
from semblance.command.deletion import delete
from semblance.command.output import print_note, red
from semblance.command.verdicts import NOT_ACCEPTED
from semblance.errors import (
    APIError,
    ConfigurationError,
    JobFailedError,
    SemblanceError,
    UnreachableError,
)

FAILED, USAGE, NO_ACCESS, UNREACHABLE, JOB_FAILED, INTERRUPTED = 1, 2, 3, 4, 5, 130

HELP = """Command line of the Semblance service.

The address and the API key come from --url and --key, from SEMBLANCE_URL and SEMBLANCE_KEY, or from
`semblance login`. Results go to standard output, progress and errors to standard error.

\b
Exit codes:
  0    success
  1    the service rejected the request, or a file cannot be read or written
  2    usage: an unknown option, a missing argument
  3    no API key, or one that may not do this
  4    the service cannot be reached
  5    the job failed or was cancelled
  6    the model does not meet its quality gate
  130  interrupted by Ctrl-C
"""


@click.group(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="semblance-client")
def app() -> None:
    pass


for command in (
    *(account.login, account.keys, account.usage),
    *(data.upload, data.datasets, data.download, data.augment),
    *(jobs.train, jobs.evaluate, jobs.jobs, jobs.watch, jobs.cancel),
    *(models.models, models.report),
    *(sampling.sample, sampling.generate),
    *(comparison.bench, delete, completion),
):
    app.add_command(command)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit with the code of its outcome."""
    try:
        app.main(arguments, prog_name="semblance", standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE if isinstance(error, click.UsageError) else FAILED)
    except (KeyboardInterrupt, click.Abort):
        print_note("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of standard output, such as `head`, has ended
        sys.stderr.close()
        sys.exit(FAILED)
    except (SemblanceError, OSError) as error:
        print_note(red(str(error)))
        sys.exit(exit_code(error))
    sys.exit(0)


def exit_code(error: Exception) -> int:
    if isinstance(error, APIError):
        if error.code == "quality_gate_failed":
            return NOT_ACCEPTED
        return NO_ACCESS if error.status in (401, 403) else FAILED
    for kind, code in (
        (ConfigurationError, NO_ACCESS),
        (UnreachableError, UNREACHABLE),
        (JobFailedError, JOB_FAILED),
    ):
        if isinstance(error, kind):
            return code
    return FAILED
