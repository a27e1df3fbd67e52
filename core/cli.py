"""The `semblance-server` command, with one subcommand for each process."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from core.settings import DEVICE_PATTERN


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="semblance-server", description="Run one or all processes of a Semblance server."
    )
    roles = parser.add_subparsers(dest="role", required=True)

    up = roles.add_parser("up", help="Run all processes on this machine, with one data folder.")
    up.add_argument("--data", metavar="DIR", help="Data folder (default: ./var).")
    up.add_argument("--port", metavar="N", type=int, help="Port of the API (default: 8000).")

    roles.add_parser("api", help="Run the HTTP API, including the sampling routes.")
    roles.add_parser("sampler", help="Run the sampling routes only.")
    worker = roles.add_parser("worker", help="Run a worker that executes jobs.")
    worker.add_argument(
        "--until-idle", action="store_true", help="Exit once there is nothing more to do."
    )
    worker.add_argument("--queues", metavar="A,B", help="Queues to take jobs from (default: all).")
    devices = worker.add_mutually_exclusive_group()
    devices.add_argument(
        "--device",
        metavar="NAME",
        type=_pattern(DEVICE_PATTERN, "`auto`, `cpu`, `cuda` or `cuda:N`"),
        help="auto, cpu, cuda or cuda:N (default: SEMBLANCE_DEVICE, or auto).",
    )
    devices.add_argument(
        "--gpus",
        metavar="all|N,M",
        type=_pattern(r"^(all|\d{1,3}(,\d{1,3})*)$", "`all` or numbers, such as `0,2`"),
        help="Run one worker for each GPU, or for each of these.",
    )
    roles.add_parser("migrate", help="Upgrade the database to the newest schema.")
    link = roles.add_parser("login-link", help="Print a link that logs a browser in once.")
    link.add_argument("--data", metavar="DIR", help="Data folder (default: ./var).")

    tenants = roles.add_parser("tenants", help="Create, list, limit, suspend or erase tenants.")
    tenants.add_argument("--data", metavar="DIR", help="Data folder (default: ./var).")
    actions = ("list", "create", "quotas", "suspend", "resume", "erase")
    tenants.add_argument("action", choices=actions)
    tenants.add_argument(
        "subject", metavar="tenant", nargs="?", help="Name of a new tenant, or id of another."
    )
    tenants.add_argument(
        "quotas",
        nargs="*",
        metavar="NAME=LIMIT",
        type=_quota,
        help="With the action `quotas`: new limits, such as `waiting_jobs=100`, or `default` for "
        "that of the service.",
    )
    keys = roles.add_parser("keys", help="List or limit API keys.")
    keys.add_argument("--data", metavar="DIR", help="Data folder (default: ./var).")
    keys.add_argument("action", choices=("list", "quotas"))
    keys.add_argument("subject", nargs="?", help="Tenant to list (default: default), or a key.")
    keys.add_argument(
        "quotas",
        nargs="*",
        metavar="NAME=LIMIT",
        type=_quota,
        help="With the action `quotas`: new limits, such as `key_requests_per_minute=100`, or "
        "`default` for that of the service.",
    )
    doctor = roles.add_parser("doctor", help="Check what the service needs, and name remedies.")
    doctor.add_argument("--data", metavar="DIR", help="Data folder (default: ./var).")
    backup = roles.add_parser("backup", help="Copy the data folder of a server that may run.")
    backup.add_argument("folder", metavar="BACKUP", help="Folder of the copy, new or older.")
    backup.add_argument("--data", metavar="DIR", help="Data folder (default: ./var).")
    restore = roles.add_parser("restore", help="Create a data folder from a backup.")
    restore.add_argument("folder", metavar="BACKUP", help="Folder of the backup.")
    restore.add_argument("--data", metavar="DIR", help="New data folder (default: ./var).")

    options = parser.parse_args(arguments)
    os.umask(0o077)  # all files are for the owner alone
    return ROLES[options.role](options)


def _pattern(pattern: str, allowed: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.match(pattern, value):
            raise argparse.ArgumentTypeError(f"{value!r} is not allowed. Use {allowed}.")
        return value

    return check


def _quota(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\w+)=(default|\d+)", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed. Use NAME=LIMIT.")
    return match[1], None if match[2] == "default" else int(match[2])


def _up(options: argparse.Namespace) -> int:
    if options.data is not None:
        os.environ["SEMBLANCE_DATA_DIR"] = options.data
    if options.port is not None:
        os.environ["SEMBLANCE_PORT"] = str(options.port)
    from core.supervisor import Supervisor  # reads the environment that is set above

    def print_line(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return Supervisor(print_line).run()


def _worker(options: argparse.Namespace) -> int:
    queues = (options.queues or "").split(",")
    if options.gpus is not None:
        return _exec_module("worker.gpu_workers", options.gpus, *queues)
    if options.device is not None:
        os.environ["SEMBLANCE_DEVICE"] = options.device
    if options.until_idle:
        os.environ["SEMBLANCE_WORKER_UNTIL_IDLE"] = "true"
    return _exec_module("worker", *queues)


def _migrate(_options: argparse.Namespace) -> int:
    from core.settings import get_settings
    from core.supervisor import prepare_database

    prepare_database(get_settings())
    return 0


def _login_link(options: argparse.Namespace) -> int:
    if options.data is not None:
        os.environ["SEMBLANCE_DATA_DIR"] = options.data
    from core.login_codes import create_link  # reads the environment that is set above
    from core.settings import get_settings

    address_file = get_settings().data_dir / "address"  # written by `up`
    if not address_file.exists():
        sys.stderr.write(
            f"No server has run with the data folder {address_file.parent}. Pass its folder with "
            "--data.\n"
        )
        return 1
    sys.stdout.write(create_link(address_file.read_text().strip()) + "\n")
    return 0


def _tenants(options: argparse.Namespace) -> int:
    if (options.subject is None) != (options.action == "list"):
        sys.stderr.write("Pass the name or the id of a tenant, except to `list`.\n")
        return 2
    return _manage(options, "core.tenant_commands")


def _keys(options: argparse.Namespace) -> int:
    if options.subject is None and options.action != "list":
        sys.stderr.write("Pass the id of a key, as `list` shows it.\n")
        return 2
    return _manage(options, "core.key_commands")


def _manage(options: argparse.Namespace, module: str) -> int:
    """Print the lines of a command of the module."""
    if options.quotas and options.action != "quotas":
        sys.stderr.write("Only `quotas` takes limits.\n")
        return 2
    if options.data is not None:
        os.environ["SEMBLANCE_DATA_DIR"] = options.data
    from core.errors import SemblanceError  # the settings read the environment that is set above

    try:
        run = import_module(module).run
        lines = run(options.action, options.subject, dict(options.quotas))
        sys.stdout.writelines(f"{line}\n" for line in lines)
    except SemblanceError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    return 0


def _doctor(options: argparse.Namespace) -> int:
    if options.data is not None:
        os.environ["SEMBLANCE_DATA_DIR"] = options.data
    from core.doctor import examine  # reads the environment that is set above
    from core.settings import get_settings

    results = examine(get_settings())
    for result in results:
        mark = "ok  " if result.is_ok else "FAIL"
        sys.stdout.write(f"{mark}  {result.name + ':':13} {result.message}\n")
    return 0 if all(result.is_ok for result in results) else 1


def _back_up(options: argparse.Namespace) -> int:
    from core.backup import back_up

    return _copy_state(options, back_up)


def _restore(options: argparse.Namespace) -> int:
    from core.backup import restore

    return _copy_state(options, lambda data, folder: restore(folder, data))


def _copy_state(options: argparse.Namespace, copy: Callable[[Path, Path], None]) -> int:
    from core.backup import BackupFailed
    from core.settings import get_settings

    data = get_settings().data_dir if options.data is None else Path(options.data).resolve()
    try:
        copy(data, Path(options.folder).resolve())
    except (BackupFailed, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _exec_module(*module: str) -> int:
    """Replace this process with `python -m module`, so that signals reach the role directly."""
    os.execv(sys.executable, [sys.executable, "-m", *module])  # noqa: S606 - our own modules


ROLES = {
    "up": _up,
    "api": lambda _options: _exec_module("app"),
    "sampler": lambda _options: _exec_module("app", "--sampler"),
    "worker": _worker,
    "migrate": _migrate,
    "login-link": _login_link,
    "tenants": _tenants,
    "keys": _keys,
    "doctor": _doctor,
    "backup": _back_up,
    "restore": _restore,
}


if __name__ == "__main__":
    sys.exit(main())
