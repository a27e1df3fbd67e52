"""The image of the Dockerfile, built and run by mmdebstrap, buildah, podman and runc.

The base image is made of Debian's packages, because no image registry is needed then.
"""

import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("mmdebstrap", "buildah", "podman", "runc")
PACKAGES = "python3,python3-pip,python-is-python3,ca-certificates,passwd"
BASE, IMAGE = "localhost/semblance-base", "localhost/semblance-test"
# pip of Debian installs into the system only without this file; Docker's Python images have none.
HOOK = 'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
# Settings of this machine for its package registries that are variables of the environment.
REGISTRY_VARIABLES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "PIP_CERT", "PIP_FIND_LINKS")


def missing_programs() -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class Engine:
    """Storage of images and containers below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "run")]

    def build(self) -> None:
        """Build the base image, unless the folder has one, and the image; return once it exists."""
        if not self._has(BASE):
            self._build_base()
        volumes = [f"--volume={path}:{path}:ro" for path in registry_files()]
        context = ["--build-arg", f"BASE={BASE}", "--tag", IMAGE, str(ROOT)]
        self._buildah("build", "--isolation", "chroot", "--layers", *volumes, *context)

    def podman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["podman", *self._storage, "--runtime", shutil.which("runc") or "/usr/sbin/runc"]
        command += ["--cgroup-manager", "cgroupfs", *arguments]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0 or not check, result.stderr
        return result

    def run(
        self, name: str, role: Sequence[str], environment: Mapping[str, str], volume: Path
    ) -> str:
        """Start a container as docker-compose.yml does; return its name."""
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        options = ["--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--network=host", *_limits()]
        options += ["--security-opt=no-new-privileges", f"--volume={volume}:/data", *variables]
        self.podman("run", "--detach", f"--name={name}", *options, IMAGE, *role)
        return name

    def state(self, name: str) -> tuple[str, int]:
        """Return the status of a container, such as `exited`, and its exit code."""
        (container,) = json.loads(self.podman("inspect", name).stdout)
        return container["State"]["Status"], container["State"]["ExitCode"]

    def remove_containers(self) -> None:
        self.podman("rm", "--all", "--force", check=False)

    def remove_images(self) -> None:
        self.podman("rmi", "--all", "--force")

    def _has(self, image: str) -> bool:
        return self.podman("image", "exists", image, check=False).returncode == 0

    def _build_base(self) -> None:
        context = self._folder / "base"
        context.mkdir(exist_ok=True)
        release = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
        assert release is not None
        options = ["--variant=minbase", f"--include={PACKAGES}", f"--customize-hook={HOOK}"]
        archive = ["mmdebstrap", *options, release[1], str(context / "base.tar")]
        subprocess.run(archive, check=True)
        variables = [f"ENV {name}={os.environ[name]}" for name in given_variables()]
        lines = ["FROM scratch", "ADD base.tar /", *variables]
        (context / "Dockerfile").write_text("\n".join(lines))
        self._buildah("build", "--isolation", "chroot", "--tag", BASE, str(context))
        shutil.rmtree(context)

    def _buildah(self, *arguments: str) -> None:
        subprocess.run(["buildah", *self._storage, *arguments], check=True)


def _limits() -> list[str]:
    """Return options with the limits of this process: only a privileged one could raise them."""
    files, processes = (
        resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
    )
    # podman lowers its own limit of processes to the number of process ids.
    process_ids = int(Path("/proc/sys/kernel/pid_max").read_text())
    if processes == resource.RLIM_INFINITY or processes > process_ids:
        processes = process_ids
    return [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}"]


def given_variables() -> list[str]:
    return [name for name in REGISTRY_VARIABLES if name in os.environ]


def registry_files() -> set[str]:
    """Return the files and folders by which pip and npm of this machine find their packages."""
    commands = (["pip", "config", "debug"], ["pip", "config", "list"], ["npm", "config", "list"])
    paths = {os.environ[name] for name in given_variables()}
    for command in commands:
        if shutil.which(command[0]):
            output = subprocess.run(command, cwd="/", capture_output=True, text=True).stdout
            lines = [line for line in output.splitlines() if "exists: False" not in line]
            for url, path in re.findall(r"(?:(file:/)/)?(/[\w./-]+)", "\n".join(lines)):
                # An index of packages refers to files next to it.
                paths.add(str(Path(path).parent) if url else path)
    is_other = re.compile(r"/[^/]*|/(usr/)?s?bin/.+|/home/[^/]+")
    return {path for path in paths if Path(path).exists() and not is_other.fullmatch(path)}
