"""Write what the explorable 'beta' shows from the records in results/design: `python book/explorable_data.py`.

D = −ELBO − R of a record, R its 'KL to the prior', nats per test image. Images are the first of the records' snapshots,
in 16 greys; the digits they were coded from are the first of MNIST's test set, so GANVAE_MNIST must name the full set.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np

from ganvae_lib.errors import CourseError
from ganvae_lib.runs.results import find

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "book" / "_static" / "explorables" / "beta.data.js"
RUNS = {0.1: "vae-beta-0.1", 0.5: "vae-beta-0.5", 1: "vae-report", 2: "vae-beta-2", 4: "vae-beta-4", 10: "vae-beta-10"}
SEEDS = (0, 1)
DIGITS = 8


def packed(images):
    """uint8 images (n, 28, 28) → base64 of 16 greys, two pixels a byte."""
    g = np.round(np.asarray(images, float).reshape(-1, 2) / 17).astype("uint8")
    return base64.b64encode((g[:, 0] << 4 | g[:, 1]).tobytes()).decode()


def of_run(beta, name):
    """One β: its numbers, one a seed, and seed 0's images."""
    results = [find(f"design/{name}-seed{seed}", ROOT / "results") for seed in SEEDS]
    if None in results:
        raise CourseError(f"results/design/{name}-seed0 and -seed1 must be there: they are in the repository")
    R, elbo, mse = (
        [round(result.record.metric(metric).value, 4) for result in results]
        for metric in ("KL to the prior", "ELBO", "reconstruction MSE on [0, 1]")
    )
    kept = np.load(results[0].folder / "snapshots.npz")
    last = f"{results[0].record.epochs_done:03d}"
    return {
        "beta": beta,
        "name": f"{name}-seed0",
        "R": R,
        "D": [round(-e - r, 4) for e, r in zip(elbo, R, strict=True)],
        "elbo": elbo,
        "mse": mse,
        "reconstructions": packed(kept[f"reconstructions_{last}"][:DIGITS]),
        "samples": packed(kept[f"samples_{last}"][:DIGITS]),
    }, results[0].record.epochs_done


def text(originals):
    """The script's text; `originals` are the test digits behind the reconstructions, uint8."""
    runs, epochs = zip(*(of_run(beta, name) for beta, name in RUNS.items()), strict=True)
    if len(set(epochs)) != 1:
        raise CourseError(f"the records have {sorted(set(epochs))} epochs: compare at equal length only")
    data = {"digits": DIGITS, "epochs": epochs[0], "originals": packed(originals), "runs": runs}
    return f"(globalThis.explorableData ??= {{}}).beta = {json.dumps(data, ensure_ascii=False)};\n"


def main():
    """Write the file."""
    from ganvae_lib import load_mnist

    mnist = load_mnist()
    if len(mnist.x_test) < 10_000:
        raise CourseError("the records' digits are of the full test set: set GANVAE_MNIST to its mnist.npz")
    originals = np.round((mnist.x_test[:DIGITS, ..., 0] + 1) * 127.5)
    TARGET.write_text(text(originals), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
