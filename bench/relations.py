"""Relations between the columns of many tables: `python -m bench.relations FOLDER`.

Prints of each CSV file its size, the CPU-seconds of the search, and the relations that do not
follow from others, to be read by a person. Files that are not UTF-8 are left out.
"""

import argparse
import time
from pathlib import Path

import pyarrow as pa

from bench.tables import read
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.planning import independent_relations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Folder with CSV files.")
    for path in sorted(parser.parse_args().folder.glob("*.csv")):
        try:
            table, schema = read(path, ())
        except (pa.ArrowException, UnicodeDecodeError, KeyError) as error:
            print(f"{path.name}: left out, {type(error).__name__}")
            continue
        table = table.combine_chunks()
        started = time.process_time()
        relations = detect_relations(table, {column.name: column.type for column in schema})
        names = [relation.name for relation in independent_relations(relations, table)]
        seconds = time.process_time() - started
        size = f"{len(table):,} x {table.num_columns}"
        print(f"{path.name}: {size}, {seconds:.1f} CPU-s, {len(names)} relations", flush=True)
        for name in names:
            print(f"    {name}")


if __name__ == "__main__":
    main()
