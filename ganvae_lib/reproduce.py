"""The report's runs at full length, and the baselines, into `results/`: each resumable, one after the other."""

from collections.abc import Iterator
from pathlib import Path

from .baselines import BASELINES
from .data import load_mnist
from .errors import DataError, RunError
from .evaluation import publish, publish_baseline
from .paper import TRAINING
from .runs import train

# The cheap ones first: whoever stops early has something of everything.
RUNS = {
    **{f"baseline-{name}": ("baseline", name) for name in BASELINES},
    "vae-report": ("vae", "report"),
    "vae-mse": ("vae", "mse"),
    "gan-report": ("gan", "report"),
}


def reproduce(
    *, only: str | None = None, seeds: int = 1, epochs: int = TRAINING.epochs, runs="runs", results="results"
) -> Iterator[Path]:
    """Train and publish each run that is not finished yet; yields the folder of each in `results`.

    Raises:
      DataError: the full MNIST is not at hand: a subset would give other numbers under the same names.
      RunError: `only` names no run, or a folder holds something else.
    """
    if only is not None and only not in RUNS:
        raise RunError(f"--only must be one of {', '.join(RUNS)}; got {only!r}")
    mnist = load_mnist()
    if not mnist.is_full:
        raise DataError(
            f"the report's runs need all {TRAINING.n_train:,} training images: fetch them with 'ganvae data --download'"
        )
    for name, (kind, variation) in RUNS.items():
        for seed in range(seeds):
            if only not in (None, name):
                continue
            target = Path(results) / f"{name}-seed{seed}"
            if kind == "baseline":
                publish_baseline(variation, target, seed=seed)
            else:
                folder = Path(runs) / target.name
                resume = (folder / "record.json").exists()
                print(f"{folder}: {'going on' if resume else 'starting'}", flush=True)
                train(kind, mnist, folder, variation=variation, epochs=epochs, seed=seed, resume=resume)
                publish(folder, target)
            yield target
