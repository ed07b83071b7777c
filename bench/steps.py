"""Time one training step of the exact GAN and VAE beside plain Keras and PyTorch, and against the machine's limits.

`python -m bench.steps [--turns N]` prints the table and writes results/bench_steps/bench.json. Each contender runs in a
process of its own, so that its memory is its own too; those of a group take turns, so that ratios hold on a noisy
machine. Seconds are the fastest of a row's turns, the mean over the steps of a turn.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

# A contender loads its own library alone: what needs Keras imports it where it is used.
from ganvae_lib.files import write_text
from ganvae_lib.paper import TRAINING
from ganvae_lib.runs.record import WITHOUT_BFLOAT16, hardware_in_words, vectors

from .rivals import BATCH, STEPS, data, torch_gan, torch_vae, tutorial

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "bench_steps" / "bench.json"
PRODUCT, COPY = "matrix product 4096³", "copy of 512 MiB"

# --- what a step takes at least -------------------------------------------------------------------------------------


def gan_step_flops(gan, padding=True) -> float:
    """One step: G forward and back; D forward and back on real and on fake; D forward and back to the fake."""
    from ganvae_lib.networks import operations

    return float(BATCH * (3 * operations(gan.generator, padding) + 8 * operations(gan.discriminator, padding)))


def vae_step_flops(vae, padding=True) -> float:
    """One step: forward, and back twice, through encoder and decoder."""
    from ganvae_lib.networks import operations

    return float(BATCH * 3 * (operations(vae.encoder, padding) + operations(vae.decoder, padding)))


def step_bytes(model) -> int:
    """Bytes that a step moves for its weights at least, in float32.

    A weight is read forward and back and its gradient written; Adam reads both and its two moments, and writes three.
    """
    return 10 * 4 * model.count_params()


def matmul_rate(n: int = 4096):
    """One float32 n×n matrix product: 2n³ operations, the machine's practical limit."""
    from ganvae_lib.quiet_keras import keras

    a = keras.random.normal((n, n), seed=0)
    return lambda: np.asarray(keras.ops.matmul(a, a))[0, 0]


def copy(megabytes: int = 512, threads: int = 2):
    """Copy that much memory, a share a thread: as many bytes read as written."""
    a, b = (np.ones((threads, megabytes * 2**18 // threads), "float32") for _ in "ab")

    def run():
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(np.copyto, b, a))

    return run


# --- the contenders: each a function that runs STEPS steps ----------------------------------------------------------


def ours(kind, precision="float32", keras_data=False):
    """Our model as `runs.train` fits it, data and all; with `keras_data`, the batches read as Keras would read them."""
    from ganvae_lib import GAN, VAE
    from ganvae_lib.quiet_keras import keras
    from ganvae_lib.training import Batches

    keras.config.set_dtype_policy(precision)
    model = {"GAN": GAN, "VAE": VAE}[kind]()
    model.compile()
    fit = partial(keras.Model.fit, model) if keras_data else model.fit
    batches = Batches(data(STEPS[kind]), BATCH)
    return lambda: fit(batches, epochs=1, verbose=0, shuffle=False)


ROWS = {
    PRODUCT: matmul_rate,
    COPY: copy,
    "GAN step, this course": lambda: ours("GAN"),
    "GAN step, Keras as its tutorials write it": tutorial,
    "GAN step, PyTorch eager": torch_gan,
    "GAN step, this course, mixed_bfloat16": lambda: ours("GAN", "mixed_bfloat16"),
    "GAN step, PyTorch eager, bfloat16 autocast": lambda: torch_gan(True),
    "VAE step, this course": lambda: ours("VAE"),
    "VAE step, this course, batches read by Keras": lambda: ours("VAE", keras_data=True),
    "VAE step, PyTorch eager": torch_vae,
    "VAE step, this course, mixed_bfloat16": lambda: ours("VAE", "mixed_bfloat16"),
    "VAE step, PyTorch eager, bfloat16 autocast": lambda: torch_vae(True),
}
# What is in memory at a time; each group also runs the limits and our float32 row, which its rows are divided by.
GROUPS = [
    [row for row in ROWS if row.startswith(kind) and ("bfloat16" in row) == low]
    for kind in STEPS
    for low in (False, True)
]

# --- measuring ------------------------------------------------------------------------------------------------------


class Contender:
    """A row in a process of its own, which runs a turn when told to."""

    def __init__(self, row):
        command = [sys.executable, "-m", "bench.steps", "--row", row]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def turn(self) -> list[float]:
        """Seconds of one turn, and of processor time in it."""
        print("turn", file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self) -> float:
        """End the process: peak of its resident memory in MB."""
        out, _ = self.process.communicate()
        return json.loads(out)


def serve(row):
    """The child of `Contender`: a turn for each line, the peak memory at the end."""
    run = ROWS[row]()
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        run()
        print([time.perf_counter() - start, time.process_time() - busy], flush=True)
    print(peak_memory())


def peak_memory() -> float:
    """This process's peak resident memory in MB. Linux's ru_maxrss would hold the parent's too; macOS' is in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def in_turns(rows, turns: int) -> tuple[dict, dict]:
    """Of each row: (turns, 2), seconds and processor seconds of each turn, and its peak memory in MB.

    A first turn, which traces and warms up, is left out.
    """
    contenders = {row: Contender(row) for row in rows}
    took = [{row: contender.turn() for row, contender in contenders.items()} for _ in range(turns + 1)][1:]
    return {row: np.array([turn[row] for turn in took]) for row in rows}, {
        row: contender.end() for row, contender in contenders.items()
    }


def table_of(turns: int, left_out: list[str]) -> list[dict]:
    """All rows of the record but those with a word of `left_out` in their names."""
    measured = []
    for group in GROUPS:
        group = [row for row in group if not any(word in row for word in left_out)]
        if not group:
            continue
        base = f"{group[0][:3]} step, this course"
        measured.append((base, group, *in_turns(dict.fromkeys((PRODUCT, COPY, base, *group)), turns)))

    from ganvae_lib import GAN, VAE

    models = {"GAN": (GAN(), gan_step_flops), "VAE": (VAE(), vae_step_flops)}
    table = []
    for base, group, took, memory in measured:
        model, flops = models[base[:3]]
        work, needed = flops(model), flops(model, padding=False)
        seconds = {row: times[:, 0] / STEPS.get(row[:3], 1) for row, times in took.items()}
        best = {row: float(times.min()) for row, times in seconds.items()}
        rate, bandwidth = 2 * 4096.0**3 / best[PRODUCT], 2 * 512 * 2**20 / best[COPY]
        if not table:
            table.append({"row": PRODUCT, "seconds": best[PRODUCT], "GFLOP/s": rate / 1e9, "peak MB": memory[PRODUCT]})
            table.append({"row": COPY, "seconds": best[COPY], "GB/s": bandwidth / 1e9, "peak MB": memory[COPY]})
        for row in group:
            table.append({
                "row": row, "seconds": best[row], "median seconds": float(np.median(seconds[row])),
                "steps timed": len(took[row]) * STEPS[base[:3]],
                "cores busy, by turn": [round(float(busy / wall), 2) for wall, busy in took[row]],
                "GFLOP": work / 1e9, "GFLOP/s": work / best[row] / 1e9,
                "of the matrix product's rate": work / best[row] / rate,
                "the same, padding not counted": needed / best[row] / rate,
                "arithmetic floor, seconds": work / rate,
                "memory floor, seconds": step_bytes(model) / bandwidth,
                "ours / this": best[base] / best[row],
                "epoch, seconds": best[row] * (TRAINING.n_train // BATCH),
                "peak MB": memory[row],
            })  # fmt: skip
    return table


def main():
    """Measure every row in turns, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=8, help="turns of each row (default 8)")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--row", choices=ROWS, metavar="ROW", help="what a contender's own process is started with")
    arguments = parser.parse_args()
    if arguments.row:
        return serve(arguments.row)

    left_out = []
    if find_spec("torch") is None:
        left_out.append("PyTorch")
        print("PyTorch is not installed: its rows are left out ('make bench' installs it)\n")
    if vectors() in WITHOUT_BFLOAT16:
        left_out.append("bfloat16")
        print("The processor has no bfloat16 instructions: its rows, many times as slow without, are left out\n")
    table = table_of(arguments.turns, left_out)
    show(table)
    packages = ["keras", "tensorflow", "numpy"] + ["torch"] * ("PyTorch" not in left_out)
    record = {
        "hardware": hardware_in_words(), "batch": BATCH, "versions": {p: version(p) for p in packages},
        "seconds are": "the fastest turn of each row, the rows of a group in turns, divided by its steps "
                       f"({STEPS['GAN']} of the GAN, {STEPS['VAE']} of the VAE)",
        "floors are": f"float32: operations, padding counted, at the rate of the {PRODUCT}; 40 bytes a parameter "
                      f"(weight, gradient, Adam's moments) at the rate of the {COPY}",
        "cores busy are": "processor time over time, of each turn; the table printed shows the least",
        "memory is": "peak resident memory of the process that ran this row alone, its libraries included",
        "epoch is": f"{TRAINING.n_train // BATCH} steps of that many seconds",
        "table": table,
    }  # fmt: skip
    write_text(arguments.out, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def show(table):
    columns = {
        "seconds": ".4f", "median seconds": ".4f", "GFLOP/s": ".0f", "of the matrix product's rate": ".2f",
        "the same, padding not counted": ".2f", "arithmetic floor, seconds": ".4f", "memory floor, seconds": ".4f",
        "ours / this": ".2f", "peak MB": ".0f",
    }  # fmt: skip
    heads = ("seconds", "median", "GFLOP/s", "of limit", "unpadded", "arith.", "memory", "ours/this", "peak MB")
    print(f"{'':44s}" + "".join(f"{head:>10s}" for head in heads) + f"{'cores':>10s}")
    for row in table:
        cells = (format(row[key], form) if key in row else "" for key, form in columns.items())
        cores = f"{min(row['cores busy, by turn']):.2f}" if "cores busy, by turn" in row else ""
        print(f"{row['row']:44s}" + "".join(f"{cell:>10s}" for cell in cells) + f"{cores:>10s}")


if __name__ == "__main__":
    main()
