"""A job through the API and a worker on the GPU, which is killed."""

import os
import signal
import time
from pathlib import Path

from bench.gpu.workload import Row, Workload


def service(workload: Workload) -> Row:
    """Run a job through the API on a worker that is killed; the job must still succeed."""
    try:
        from bench.jobs import tiny_job
        from bench.serving import serving
    except ImportError as error:
        return {"skipped": f"the server's packages are not installed: {error.name}"}
    steps = 200 if workload.quick else 2_000
    environment = {
        "SEMBLANCE_DEVICE": str(workload.device),
        "SEMBLANCE_CHECKPOINT_SECONDS": "1",
    }
    with serving(**environment) as client:
        body = tiny_job(client.create_builtin_dataset("digits")["id"], steps)
        job = client.request("POST", "/v1/jobs", json=body).json()["id"]
        deadline = time.monotonic() + 300
        while not (job_view := client.request("GET", f"/v1/jobs/{job}").json())["progress"][
            "percent"
        ]:
            if time.monotonic() > deadline:
                return {"failed": f"the job is still {job_view['state']}"}
            time.sleep(0.2)
        killed = _kill_workers()
        ended = client.wait(job)
        samples = client.samples(ended["result"]["model"], count=100, seed=1, format="npz")
        return {
            "killed_processes": killed,
            "state": ended["state"],
            "attempt": ended["attempt"],
            "usage": ended.get("usage"),
            "workers": client.request("GET", "/v1/workers").json(),
            "sample_bytes": len(samples),
        }


def _kill_workers() -> int:
    """Kill the worker processes that descend from this process; return their number."""
    parents, commands = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                commands[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:  # the process has ended
                continue
            parents[int(folder.name)] = int(fields[1])

    def descends(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    workers = [process for process, command in commands.items() if b"-m\0worker" in command]
    workers = [process for process in workers if descends(process)]
    for process in workers:
        os.kill(process, signal.SIGKILL)
    return len(workers)
