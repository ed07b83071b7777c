"""Time the metrics beside their peers, and hold both against 50-digit arithmetic.

`python -m bench.metrics` prints the tables and writes results/bench_metrics/bench.json. Peers that are not installed
are left out, and named. Contenders take turns, so that ratios hold on a noisy machine. 'CPU' is processor time of all
threads, 'wall' the clock's; each is the smallest of the repeats.
"""

import argparse
import contextlib
import io
import json
import runpy
import subprocess
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ganvae_lib.files import write_text
from ganvae_lib.metrics import FeatureStats, inception_score, kernel_distance, precision_recall_density_coverage
from ganvae_lib.metrics.frechet import frechet_value
from ganvae_lib.runs.record import hardware_in_words

from .peers import OURS, frechet_contenders, load_peers

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "bench_metrics" / "bench.json"
PEERS = ("torch-fidelity", "torchmetrics", "pytorch-fid", "clean-fid", "prdc", "mpmath")
N = 10_000

# --- measuring ------------------------------------------------------------------------------------------------------


def in_turns(contenders: dict, seconds: float = 1.0, most: int = 40) -> dict:
    """Smallest CPU and wall milliseconds of each, called in turns until each has had three and `seconds` of CPU.

    A short call is repeated within its turn, for 5 ms or so, and the turn's mean counts.
    """
    best = {name: [np.inf, np.inf, 0] for name in contenders}
    spent, calls = dict.fromkeys(contenders, 0.0), dict.fromkeys(contenders, 1)
    for turn in range(most):
        for name, call in contenders.items():
            if best[name][2] >= 3 and spent[name] >= seconds:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                call()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn == 0 and cpu < seconds / 2:  # warming up
                calls[name] = max(1, int(0.005 / cpu))
                continue
            spent[name] += cpu
            least = best[name]
            best[name] = [min(least[0], 1e3 * cpu / calls[name]), min(least[1], 1e3 * wall / calls[name]), least[2] + 1]
    return {name: {"cpu_ms": b[0], "wall_ms": b[1], "repeats": b[2]} for name, b in best.items()}


def with_ratios(times: dict) -> list[dict]:
    ours = times[OURS]
    return [
        {
            "who": name,
            **t,
            "cpu / ours": t["cpu_ms"] / ours["cpu_ms"],
            "wall / ours": t["wall_ms"] / ours["wall_ms"],
        }
        for name, t in times.items()
    ]


def show(title: str, rows: list[dict]) -> None:
    print(f"\n{title}")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    text = [[_cell(row.get(key)) for key in keys] for row in rows]
    widths = [max(len(row[i]) for row in [keys, *text]) for i in range(len(keys))]
    for row in [keys, *text]:
        first, *rest = zip(row, widths, strict=True)
        print("  " + "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]), flush=True)


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if value and (abs(value) < 1e-3 or abs(value) >= 1e6) else f"{value:.4g}"
    return "" if value is None else str(value)


def threads(number: int):
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)
    return threadpool_limits(number)


def gaussians(d: int, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features with a spectrum that falls, as networks give them: condition number about 1e4."""
    rng = np.random.default_rng(d)
    scale = np.logspace(0, -2, d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    a, b = (rng.normal(size=(N, d)) for _ in "ab")
    return ((a * scale) @ turn).astype(dtype), ((b * scale * 1.1) @ turn + 0.02).astype(dtype)


# --- the tables -----------------------------------------------------------------------------------------------------


def bench_frechet(peers: dict, dims: list[int], numbers: list[int]) -> list[dict]:
    table = []
    for d in dims:
        a, b = gaussians(d)
        stats = (N, a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))
        known = FeatureStats.from_features(a), FeatureStats.from_features(b)
        calls = {name: lambda f=f, stats=stats: f(*stats) for name, f in frechet_contenders(peers).items()}
        values = {name: call() for name, call in calls.items()}
        for number in numbers:
            with threads(number):
                times = in_turns(calls | {"ours, from FeatureStats": lambda known=known: frechet_value(*known)})
            rows = [
                {"d": d, "threads": number, **row, "value − ours": values.get(row["who"], values[OURS]) - values[OURS]}
                for row in with_ratios(times)
            ]
            table += rows
            show(f"Fréchet distance from mean and covariance, d = {d}, {number} thread(s)", rows)
    return table


def bench_frechet_features(peers: dict, dims: list[int]) -> list[dict]:
    """From the features on: N = 10,000, and N = 500 < d."""
    table = []
    for d, n in [(d, N) for d in dims if d <= 512] + [(2048, 500)] * (2048 in dims):
        a, b = (x[:n].astype(np.float32) for x in gaussians(d))
        calls = {OURS: lambda a=a, b=b: frechet_value(FeatureStats.from_features(a), FeatureStats.from_features(b))}
        for name, f in frechet_contenders(peers).items():
            if name != OURS and (n > d or name in ("torch-fidelity", "torchmetrics")):

                def call(f=f, a=a, b=b, n=n):
                    a, b = a.astype(np.float64), b.astype(np.float64)
                    return f(n, a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))

                calls[name] = call
        values = {name: call() for name, call in calls.items()}
        with threads(1):
            rows = [
                {"d": d, "N": n, **row, "value − ours": values[row["who"]] - values[OURS]}
                for row in with_ratios(in_turns(calls))
            ]
        table += rows
        show(f"Fréchet distance from features, N = {n:,}, d = {d}, 1 thread", rows)
    return table


def kid_contenders(peers: dict, dtype) -> dict:
    a, b = gaussians(64, dtype)
    calls = {
        OURS: lambda: kernel_distance(a, b).value,
        "ours, pairs": lambda: kernel_distance(a, b, method="pairs").value,
    }
    if "torch-fidelity KID" in peers:
        import torch

        ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        settings = {"kid_subsets": 100, "kid_subset_size": 1000, "verbose": False}
        calls["torch-fidelity"] = lambda: peers["torch-fidelity KID"](ta, tb, **settings)[
            "kernel_inception_distance_mean"
        ]
    return calls


def prdc_contenders(peers: dict, dtype) -> dict:
    a, b = gaussians(64, dtype)
    calls = {OURS: lambda: [r.value for r in precision_recall_density_coverage(a, b, 5)]}
    if "prdc" in peers:

        def prdc():
            with contextlib.redirect_stdout(io.StringIO()):
                found = peers["prdc"](real_features=b, fake_features=a, nearest_k=5)
            return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]

        calls["prdc"] = prdc
    return calls


CONTENDERS = {"kernel distance": kid_contenders, "precision, recall, density, coverage": prdc_contenders}


def bench_pairs(peers: dict) -> list[dict]:
    """KID and PRDC at N = 10,000, d = 64: time, peak memory in a process of its own, and values."""
    table = []
    for what, make in CONTENDERS.items():
        for dtype in ("float32", "float64"):
            calls = make(peers, dtype)
            values = {name: call() for name, call in calls.items()}
            with threads(1):
                rows = with_ratios(in_turns(calls, seconds=4.0, most=8))
            for row in rows:
                row["peak MB"] = _peak(what, row["who"], dtype)
            rows = [
                {"metric": what, "features": dtype, **row, "memory / ours": row["peak MB"] / rows[0]["peak MB"]}
                for row in rows
            ]
            for row in rows:
                row["value"] = ", ".join(f"{v:.6g}" for v in np.atleast_1d(values[row["who"]]))
            table += rows
            show(f"{what}, N = {N:,}, d = 64, {dtype} features, 1 thread", rows)
    return table


def _peak(what: str, who: str, dtype: str) -> float:
    """Megabytes that one call adds to a fresh process."""
    command = [sys.executable, "-m", "bench.metrics", "--peak", what, who, dtype]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def peak(what: str, who: str, dtype: str) -> None:
    """The child of `_peak` (Linux)."""
    call = CONTENDERS[what](load_peers(), dtype)[who]
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    with threads(1):
        call()
    print(_memory("VmHWM") - before)


def _memory(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def bench_accuracy(peers: dict, d: int, n: int) -> list[dict]:
    """Error of each contender relative to the trace, against 50-digit arithmetic on the features themselves."""
    import mpmath as mp

    cases = runpy.run_path(str(ROOT / "tests" / "test_metrics_frechet.py"))
    table = []
    for kind in cases["KINDS"]:
        a, b = cases["pair"](kind, d, n)
        exact, traces = cases["truth"](a, b)
        stats = len(a), a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T)

        def error(call, exact=exact, traces=traces):
            try:
                value = call()
            except Exception as raised:
                return f"{type(raised).__name__}"
            return float((mp.mpf(float(value)) - exact) / traces) if np.isfinite(value) else "NaN"

        row = {"case": kind}
        row[OURS] = error(lambda a=a, b=b: frechet_value(*(FeatureStats.from_features(x) for x in (a, b))))
        for name, f in frechet_contenders(peers).items():
            row["ours, of covariances" if name == OURS else name] = error(lambda f=f, stats=stats: f(*stats))
        table.append(row)
    show(f"Fréchet distance: error / trace against 50-digit arithmetic, d = {d}, N = {n}", table)
    return table


def bench_scores(peers: dict) -> list[dict]:
    """Inception scores whose truth is known."""
    ones = np.eye(10)[np.arange(1000) % 10]
    with np.errstate(divide="ignore"):
        cases = [
            ("one-hot outputs", np.log(ones), 1, 10.0),
            ("certain digits, logits 1e4", 1e4 * ones, 1, 10.0),
            ("collapsed onto one class, logits 1e4", 1e4 * np.eye(10)[np.full(1000, 3)], 1, 1.0),
            ("no class preferred", np.zeros((1000, 10)), 1, 1.0),
        ]
    table = []
    for case, logits, splits, truth in cases:
        row = {"case": case, "truth": truth, OURS: inception_score(logits, splits).value}
        if "torch-fidelity IS" in peers:
            import torch

            row["torch-fidelity"] = peers["torch-fidelity IS"](torch.from_numpy(logits), splits)["inception_score_mean"]
        if row.get("torch-fidelity") is not None and not np.isfinite(row["torch-fidelity"]):
            row["torch-fidelity"] = "NaN"
        table.append(row)
    show("Inception score, where the truth is known", table)
    return table


def versions() -> tuple[dict, list]:
    known, missing = {}, []
    for package in ("numpy", "scipy", "torch", *PEERS):
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            missing.append(package)
    return known, missing


def main() -> None:
    """Print the tables and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128, 512, 2048])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--accuracy", type=int, nargs=2, default=[16, 64], metavar=("D", "N"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' own
    if arguments.peak:
        return peak(*arguments.peak)
    known, missing = versions()
    hardware = hardware_in_words()
    print(hardware, known, f"not installed, left out: {', '.join(missing) or 'none'}", sep="\n")
    peers = load_peers()
    record = {
        "hardware": hardware,
        "versions": known,
        "not installed": missing,
        "milliseconds are": "the smallest of the repeats, all contenders in turns in one run",
        "frechet": bench_frechet(peers, arguments.dims, arguments.threads),
        "frechet_from_features": bench_frechet_features(peers, arguments.dims),
        "kernel_distance_and_prdc": bench_pairs(peers),
        "inception_score": bench_scores(peers),
        "accuracy": {
            "d": arguments.accuracy[0],
            "n": arguments.accuracy[1],
            "table": bench_accuracy(peers, *arguments.accuracy) if "mpmath" in known else [],
        },
    }
    write_text(arguments.out, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten: {arguments.out.relative_to(ROOT) if arguments.out.is_relative_to(ROOT) else arguments.out}")


if __name__ == "__main__":
    main()
