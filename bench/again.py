"""`python -m bench.again [results/NAME …]`: published records measured again, and every printed digit compared.

Needs the data the records were measured on (GANVAE_MNIST); about a minute each. The records stay as they are: a copy is
measured. It ends with 1 where a figure differs. What a machine's rounding can turn is in the last of four digits.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from ganvae_lib.data import load_mnist
from ganvae_lib.metrics.result import figure
from ganvae_lib.runs.evaluation import evaluate_target
from ganvae_lib.runs.record import Record


def differences(folder: Path, mnist) -> tuple[int, list[str]]:
    """How many figures were measured again, and a line for each that is printed differently."""
    before = Record.read(folder)
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(folder, Path(scratch) / folder.name)
        found = evaluate_target(copy, n=_samples(before), mnist=mnist, seed=_seed(before), progress=False)
    now = {(m.name, m.reference, m.n): m for m in found}
    lines = []
    for metric in before.metrics:
        again = now.get((metric.name, metric.reference, metric.n))
        if again is None:
            lines.append(f"{metric.name} (N = {metric.n}): not measured again")
        elif figure(again.value) != figure(metric.value):
            lines.append(f"{metric.name}: {figure(metric.value)}, again {figure(again.value)}")
    return len(before.metrics), lines


def _samples(record: Record) -> int:
    return next(m.n for m in record.metrics if m.name == "MNIST-classifier Fréchet distance")


def _seed(record: Record) -> int:
    return next((m.seed for m in record.metrics if m.seed is not None), 0)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.again", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="*", help="folders with a record; default: all in results/")
    folders = parser.parse_args(argv).folder or sorted(path.parent for path in Path("results").rglob("record.json"))
    mnist, figures, different = load_mnist(), 0, 0
    for folder in folders:
        n, lines = differences(folder, mnist)
        figures, different = figures + n, different + len(lines)
        print(f"{folder}: {n} figures, {len(lines)} different", *lines, sep="\n  ", flush=True)
    print(f"{len(folders)} records, {figures} figures, {different} different")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
