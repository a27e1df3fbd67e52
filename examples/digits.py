"""Train on the built-in digits and save synthetic images of two labels.

Usage: python examples/digits.py OUT.zip [SECONDS]
"""

import sys

from semblance import Client


def main(out: str, seconds: float = 30) -> None:
    with Client.from_env() as client:
        dataset = client.create_builtin_dataset("digits")
        job = client.train(
            dataset["id"], name="digits", budget={"cpu_seconds": seconds}, evaluate=False
        )
        done = client.wait(job["id"])
        model = done["result"]["model_version"]
        # The same seed returns the same images again, in any format.
        client.download_samples(model, out, labels={"3": 50, "7": 50}, seed=7)
        print(f"{model}: 100 images in {out}")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
