"""CPU benchmark for time estimates: GFLOP/s of a single-threaded matrix product.

It runs in a separate process (`python -m worker.benchmark_cpu`), because numpy fixes its number of
threads when it is imported.
"""

import os
import subprocess
import sys
import time

MATRIX_SIZE, ROUNDS = 512, 30
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure_gflops() -> float | None:
    """Return GFLOP/s, or None if it cannot be measured; estimates then assume a typical core."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    try:
        process = subprocess.run(
            [sys.executable, "-m", "worker.benchmark_cpu"],
            env=environment,
            capture_output=True,
            timeout=30,
            check=True,
        )
        return float(process.stdout)
    except (subprocess.SubprocessError, ValueError, OSError):
        return None


def main() -> None:
    import numpy as np

    matrix = np.random.default_rng(0).random((MATRIX_SIZE, MATRIX_SIZE), np.float32)
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        matrix @ matrix
        seconds.append(time.process_time() - started)
    sys.stdout.write(f"{2 * MATRIX_SIZE**3 / min(seconds) / 1e9:.1f}\n")


if __name__ == "__main__":
    main()
