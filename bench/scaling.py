"""How cost grows: a step with the batch, an epoch with the images, a metric with N and with d; and what starting takes.

`python -m bench.scaling` prints the curves, each with its fitted exponent, and writes
results/bench_scaling/bench.json. The points of a curve take turns; each is the fastest of its repeats.
"""

import argparse
import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ganvae_lib.files import write_text
from ganvae_lib.metrics import FeatureStats, inception_score, kernel_distance, precision_recall_density_coverage
from ganvae_lib.metrics.frechet import frechet_value
from ganvae_lib.paper import DECISIONS, TRAINING
from ganvae_lib.runs.record import hardware_in_words

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "bench_scaling" / "bench.json"
BATCHES = (8, 16, 32, 64, 128, 256)
IMAGES = (1_024, 2_048, 4_096, 8_192)
SAMPLES = (1_250, 2_500, 5_000, 10_000)
DIMS = (16, 32, 64, 128, 256, 512, 1024)
FEW = 2_000  # samples where d varies


def exponent(x, seconds) -> float:
    """The slope a of log seconds on log x, least squares: seconds ∝ x^a."""
    return float(np.polyfit(np.log(x), np.log(seconds), 1)[0])


def curve(what, who, calls: dict, repeats: int) -> dict:
    """{x: a function} → one curve. The first call of each warms it up."""
    for call in calls.values():
        call()
    best = dict.fromkeys(calls, np.inf)
    for _ in range(repeats):
        for x, call in calls.items():
            start = time.perf_counter()
            call()
            best[x] = min(best[x], time.perf_counter() - start)
    x, seconds = list(best), list(best.values())
    half = len(x) // 2
    found = {
        "what": what, "who": who, "x": x, "seconds": seconds,
        "exponent": exponent(x, seconds), "exponent of the upper half": exponent(x[half:], seconds[half:]),
    }  # fmt: skip
    slopes = f"exponent {found['exponent']:5.2f}, upper half {found['exponent of the upper half']:5.2f}"
    print(f"{what:28s} {who:22s} {slopes}   {', '.join(f'{s:.3g}' for s in seconds)} s", flush=True)
    return found


# --- training -------------------------------------------------------------------------------------------------------


def epochs_of(kind, variation, sizes: dict) -> dict:
    """{x: (images, batch size)} → {x: a function that runs one epoch of them}, all on one model."""
    from ganvae_lib.models.variations import build, configuration
    from ganvae_lib.training import Batches

    model = build(kind, configuration(kind, variation))

    def epoch(n, batch):
        x = np.random.default_rng(0).uniform(-1, 1, (n, *TRAINING.image_shape)).astype("float32")
        batches = Batches(x, batch)
        return lambda: model.fit(batches, epochs=1, verbose=0, shuffle=False)

    return {x: epoch(*size) for x, size in sizes.items()}


def training_curves(repeats: int) -> list[dict]:
    found = []
    for kind, variation, steps in (("gan", "report", 3), ("gan", "compact", 12), ("vae", "report", 40)):
        calls = epochs_of(kind, variation, {b: (steps * b, b) for b in BATCHES})
        one = curve("step against batch size", f"{kind} {variation}", calls, repeats)
        one["seconds"] = [s / steps for s in one["seconds"]]
        found.append(one)
    for kind, variation in (("gan", "compact"), ("vae", "report")):
        calls = epochs_of(kind, variation, {n: (n, DECISIONS.batch_size) for n in IMAGES})
        found.append(curve("epoch against images", f"{kind} {variation}", calls, max(1, repeats - 1)))
    return found


# --- metrics --------------------------------------------------------------------------------------------------------


def metrics_of(n: int, d: int) -> dict:
    """Each metric of n samples against as many, as a function; d features, or for the inception score d classes."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, d), dtype="float32") for _ in "ab")
    return {
        "Fréchet distance": lambda: frechet_value(FeatureStats.from_features(a), FeatureStats.from_features(b)),
        "inception score": lambda: inception_score(a),
        "kernel distance": lambda: kernel_distance(a, b),
        "precision, recall, …": lambda: precision_recall_density_coverage(a, b, 5),
    }


def metric_curves(repeats: int) -> list[dict]:
    found = []
    for what, points in (
        ("metric against N, d = 64", {n: metrics_of(n, 64) for n in SAMPLES}),
        (f"metric against d, N = {FEW:,}", {d: metrics_of(FEW, d) for d in DIMS}),
    ):
        for who in metrics_of(10, 2):
            found.append(curve(what, who, {x: calls[who] for x, calls in points.items()}, repeats))
    return found


# --- starting -------------------------------------------------------------------------------------------------------


def in_a_process(code) -> float:
    """Seconds that a fresh Python says the statements took."""
    timed = f"import time; start = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", timed], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def command() -> float:
    start = time.perf_counter()
    help_of_ours = "import sys; sys.argv = ['ganvae', '--help']; from ganvae_lib.cli import main; main()"
    subprocess.run([sys.executable, "-c", help_of_ours], cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - start


def chapter() -> float:
    """Start a kernel, run the chapter on VAEs up to its first imports."""
    import nbformat
    from jupyter_client.manager import start_new_kernel

    cells = nbformat.read(ROOT / "chapters" / "15_vae.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"][:2]
    start = time.perf_counter()
    manager, client = start_new_kernel(cwd=str(ROOT / "chapters"))
    try:
        for source in sources:
            reply = client.execute_interactive(source, output_hook=lambda _: None, timeout=120)
            assert reply["content"]["status"] == "ok", reply["content"]
        return time.perf_counter() - start
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def start_times(repeats: int) -> list[dict]:
    """What starting takes, and the aim; TensorFlow's own import beside it, which no course can make shorter."""
    found = []
    for what, bar, measure in (
        ("import ganvae_lib", 0.3, lambda: in_a_process("import ganvae_lib")),
        ("ganvae --help", 0.5, command),
        ("load_mnist()", 1.0, lambda: in_a_process("from ganvae_lib import load_mnist; load_mnist()")),
        ("a chapter's kernel and imports", 6.0, chapter),
        ("TensorFlow's import alone", None, lambda: in_a_process("import tensorflow")),
    ):
        seconds = min(measure() for _ in range(repeats))
        found.append({"what": what, "seconds": seconds, "bar": bar})
        print(f"{what:32s} {seconds:.2f} s" + (f" (≤ {bar} s)" if bar else ""), flush=True)
    return found


def main():
    """Measure, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each point (default 3)")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    starting = start_times(arguments.repeats)
    curves = metric_curves(arguments.repeats) + training_curves(arguments.repeats)
    record = {
        "hardware": hardware_in_words(),
        "versions": {p: version(p) for p in ("keras", "tensorflow", "numpy", "scipy")},
        "seconds are": "the fastest of each point's repeats, the points of a curve in turns",
        "exponents are": "the least-squares slope of log seconds on log x, over all points and over the upper half",
        "curves": curves,
        "starting": starting,
    }
    write_text(arguments.out, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
