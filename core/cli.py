"""`semblance-server`: one command, a role for each process."""

import argparse
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="semblance-server", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)

    up = roles.add_parser("up", help="everything on this machine, state in one folder")
    up.add_argument("--data", metavar="DIR", help="the folder (default: ./var)")
    up.add_argument("--port", metavar="N", type=int, help="port of the API (default: 8000)")

    roles.add_parser("api", help="the HTTP API with its sampler")
    roles.add_parser("sampler", help="the sampling routes alone")
    worker = roles.add_parser("worker", help="take jobs")
    worker.add_argument("--queues", metavar="A,B", help="which (default: all)")
    roles.add_parser("migrate", help="bring the database to the newest schema")

    chosen = parser.parse_args(arguments)
    return ROLES[chosen.role](chosen)


def _up(chosen: argparse.Namespace) -> int:
    if chosen.data is not None:
        os.environ["SEMBLANCE_DATA_DIR"] = chosen.data
    if chosen.port is not None:
        os.environ["SEMBLANCE_PORT"] = str(chosen.port)
    from core.supervisor import Supervisor  # after the environment is set

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return Supervisor(say).run()


def _migrate(_chosen: argparse.Namespace) -> int:
    from core.settings import get_settings
    from core.supervisor import prepare_database

    prepare_database(get_settings())
    return 0


def _become(*module: str) -> int:
    """Replace this process, so that signals reach the role itself."""
    os.execv(sys.executable, [sys.executable, "-m", *module])  # noqa: S606 - our own modules


ROLES = {
    "up": _up,
    "api": lambda _chosen: _become("app"),
    "sampler": lambda _chosen: _become("app", "--sampler"),
    "worker": lambda chosen: _become("worker", *(chosen.queues or "").split(",")),
    "migrate": _migrate,
}


if __name__ == "__main__":
    sys.exit(main())
