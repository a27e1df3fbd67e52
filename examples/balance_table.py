"""Train on a CSV file and write equally many synthetic rows for each value of one column.

Usage: python examples/balance_table.py TABLE.csv TARGET_COLUMN OUT.csv [ROWS_PER_LABEL]
"""

import sys

from semblance import Client


def main(table: str, target: str, out: str, rows_per_label: int = 500) -> None:
    with Client.from_env() as client:
        dataset = client.upload(table, target=target)
        job = client.train(dataset["id"], preset="fast", evaluate=False)
        model = client.wait(job["id"])["result"]["model_version"]
        labels = {label["name"]: rows_per_label for label in dataset["labels"]}
        client.download_samples(model, out, labels=labels, seed=1)
        print(f"{model}: {rows_per_label} rows for each of {', '.join(labels)} in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
