"""All runs of the course into `results/`: the report's at full length, what goes with them, and the design runs.

Each run is resumable, and so is the whole: what is finished is not done again. The order is that of `RUNS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..models.baselines import BASELINES
from ..data import load_mnist
from ..errors import DataError, RunError
from .evaluation import KEEP, publish, publish_baseline
from ..paper import DECISIONS, TRAINING
from .record import Record
from .run import train

DESIGN_EPOCHS, DESIGN_SEEDS = 3, 2  # one budget for every design: they are compared with one another


@dataclass(frozen=True)
class Run:
    """What is trained and what `publish` keeps of it. `folder` is the folder in `results/`, without the seed.

    Seeds after the first are there for the spread: `keep_others` is what is kept of them. Colab clones it all.
    """

    kind: str
    variation: str
    folder: str
    epochs: int = TRAINING.epochs
    seeds: int = 1
    n: int = DECISIONS.n_evaluation_samples
    keep: tuple[str, ...] = KEEP
    keep_others: tuple[str, ...] = ()
    precision: str = "float32"


def _design(kind: str, *variations: str, folder="design", **options) -> dict[str, Run]:
    """Runs at the designs' budget, as 'folder/kind-variation'."""
    names = {v: f"{folder}/{kind}-{v}" for v in variations}
    return {
        name: Run(kind, v, name, DESIGN_EPOCHS, DESIGN_SEEDS, n=2_000, keep=("samples", "snapshots"), **options)
        for v, name in names.items()
    }


# The cheap ones first: whoever stops early has something of everything.
RUNS = {
    **{f"baseline-{name}": Run("baseline", name, f"baseline-{name}", epochs=0) for name in BASELINES},
    "vae-narrow": Run("vae", "narrow", "vae-narrow", epochs=50, n=2_000),
    "gan-compact": Run("gan", "compact", "gan-compact", epochs=30, n=2_000),
    **_design("vae", "report", "latent-2", "latent-5", "latent-20", "latent-50", "narrow", "wide", "dense-bridge",
              "mse", "product", "alternating", "beta-0.1", "beta-0.5", "beta-2", "beta-4", "beta-10"),
    **_design("gan", "compact", "compact-latent-2", "compact-latent-50", "compact-latent-100", "compact-minimax"),
    # To be held against the same runs of the designs, in float32.
    **_design("vae", "report", folder="bfloat16", precision="mixed_bfloat16"),
    **_design("gan", "compact", folder="bfloat16", precision="mixed_bfloat16"),
    "vae-report": Run("vae", "report", "vae-report", seeds=3, keep_others=("samples",)),
    "vae-mse": Run("vae", "mse", "vae-mse", seeds=3, keep=("samples", "snapshots", "codes")),
    "gan-report": Run("gan", "report", "gan-report"),
    # Each of these has an expensive player: minutes an epoch on two cores.
    **_design("gan", "dcgan-like", "two-layer-discriminator", "report", "latent-10", "latent-50", "latent-200",
              "minimax"),
}  # fmt: skip


def reproduce(
    *,
    only: str | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    precision: str | None = None,
    runs="runs",
    results="results",
) -> Iterator[Path]:
    """Train and publish each run that is not finished yet; yields the folder of each in `results`.

    Args:
      only: a name in `RUNS`, or the beginning of several ('design/vae').
      seeds: how many seeds of each, from 0; default the run's own number.
      epochs: epochs of each; default the run's own.
      precision: 'float32' or 'mixed_bfloat16', for the runs that are trained; default the run's own.
      runs: where they are trained.
      results: where they are published.

    Raises:
      DataError: the full MNIST is not at hand: a subset would give other numbers under the same names.
      RunError: `only` names no run, or a folder holds something else.
    """
    chosen = {name: run for name, run in RUNS.items() if only is None or name == only}
    chosen = chosen or {name: run for name, run in RUNS.items() if name.startswith(only)}
    if not chosen:
        raise RunError(f"--only must be one of {', '.join(RUNS)}, or the beginning of some; got {only!r}")
    mnist = load_mnist()
    if not mnist.is_full:
        raise DataError(
            f"the report's runs need all {TRAINING.n_train:,} training images: fetch them with 'ganvae data --download'"
        )
    tasks = [
        (run, epochs or run.epochs, seed, Path(runs) / f"{run.folder}-seed{seed}")
        for run in chosen.values()
        for seed in range(seeds or run.seeds)
    ]
    for i, (run, wanted, seed, folder) in enumerate(tasks):
        target = Path(results) / f"{run.folder}-seed{seed}"
        before = _record(target)
        if before is not None and before.metrics and before.epochs_done >= (wanted if run.kind != "baseline" else 0):
            yield target
            continue
        print(f"{target} ({i + 1} of {len(tasks)}{_time_left(tasks[i:], results)})", flush=True)
        if run.kind == "baseline":
            publish_baseline(run.variation, target, seed=seed)
        else:
            resume = (folder / "record.json").exists()
            train(
                run.kind, mnist, folder, variation=run.variation, epochs=wanted, seed=seed, resume=resume,
                precision=precision or run.precision,
            )  # fmt: skip
            publish(folder, target, n=run.n, keep=run.keep_others if seed else run.keep)
        yield target


def _record(folder: Path) -> Record | None:
    return Record.read(folder) if (folder / "record.json").exists() else None


def _time_left(tasks, results) -> str:
    """Epochs to go × seconds an epoch of the same run's newest record: here, or where it was published from."""
    seconds, unknown = 0.0, 0
    for run, epochs, _seed, folder in tasks:
        own, published = _record(folder), _record(Path(results) / f"{run.folder}-seed0")
        known = next((r.seconds_per_epoch for r in (own, published) if r is not None and r.seconds_per_epoch), None)
        if known is None:
            unknown += run.kind != "baseline"
        else:
            seconds += known * (epochs - (own.epochs_done if own is not None else 0))
    more = f" and {unknown} runs never timed" if unknown else ""
    return f", about {seconds / 3600:.1f} h of training left{more}"
