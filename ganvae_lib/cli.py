"""The `ganvae` command. Each command reads, calls one function of the library, and prints.

Exit codes: 0 done, 1 no such variation, feature network or setting of Keras, 2 bad arguments, 3 data, 4 run folder or
record, 5 training, 6 metric, 130 stopped by Ctrl-C.
"""

import os
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .errors import CourseError
from .files import mend_of, write_text
from .models import MODELS
from .paper import DECISIONS, TRAINING

app = typer.Typer(
    help="GANs and VAEs on MNIST: data, training, evaluation, records.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text: one line an error
)


Model = StrEnum("Model", {name: name for name in MODELS}, module=__name__)
Model.__doc__ = "The models."


class Backend(StrEnum):
    """Keras' backends that the course runs on."""

    tensorflow = "tensorflow"
    jax = "jax"


class Precision(StrEnum):
    """Keras' precision policies that the course is tested with."""

    float32 = "float32"
    mixed_bfloat16 = "mixed_bfloat16"


class Against(StrEnum):
    """The reference set of a metric."""

    test = "test"
    train = "train"


MAX_N = 1_000_000  # images at once: 3 GB as float32
RunFolder = Annotated[Path, typer.Argument(help="A run folder, as 'ganvae train' writes it.")]
BackendOption = Annotated[Backend | None, typer.Option(help="Keras backend. Default: KERAS_BACKEND, else tensorflow.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Use only this many training images.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random.")]


@app.command()
def data(download: Annotated[bool, typer.Option("--download", help="Fetch the full MNIST (11 MB).")] = False):
    """Say which MNIST is at hand; with --download, fetch the full set through Keras."""
    from .data import load_mnist

    mnist = load_mnist(download=download)
    print(f"{mnist.source}, sha256 {mnist.sha256[:12]}…")


@app.command()
def train(
    model: Annotated[Model, typer.Argument(help="Which model.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = TRAINING.epochs,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.")] = DECISIONS.batch_size,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. Default: runs/MODEL-VARIATION-seedN.")] = None,
    variation: Annotated[str, typer.Option(help="A named variation; 'report' is the report's own.")] = "report",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that the folder holds.")] = False,
    precision: Annotated[Precision, typer.Option(help="Precision of the arithmetic.")] = Precision.float32,
    distribute: Annotated[
        bool, typer.Option("--distribute", help="Deal each batch out to all devices, of several machines too.")
    ] = False,
    backend: BackendOption = None,
):
    """Train a model into a run folder: record.json, history.csv, checkpoints, weights.h5.

    A checkpoint is kept each epoch. A run that was stopped, or killed, goes on with --resume and ends with the same
    weights, bit for bit, as one that was not. With --distribute the losses are those of one device up to rounding;
    several machines run the same command, named in TF_CONFIG or, on JAX, in KERAS_DISTRIBUTION_JOB_ADDRESSES and its
    like, and the first of them writes the folder.
    """
    _use(backend)
    from .data import load_mnist
    from .runs import train as train_run

    out = out or Path("runs") / f"{model}-{variation}-seed{seed}"
    mnist = load_mnist().limit(limit)
    record = train_run(
        model.value, mnist, out, variation=variation, epochs=epochs, batch_size=batch_size, seed=seed,
        precision=precision.value, resume=resume, distribute=distribute,
    )  # fmt: skip
    seconds = f"{record.seconds_per_epoch:.1f} s an epoch"
    print(f"{out}: {record.epochs_done} epochs on {record.data.n_train:,} images, {seconds}")


@app.command()
def evaluate(
    target: Annotated[Path, typer.Argument(help="A run folder, a .npz of images, or a folder of 28×28 PNG files.")],
    n: Annotated[
        int | None, typer.Option(min=2, max=MAX_N, help="Samples to draw from a run's model. Default: 10,000.")
    ] = None,
    against: Annotated[Against, typer.Option(help="Real images to compare with.")] = Against.test,
    features: Annotated[
        str, typer.Option(help="Feature networks, comma-separated: mnist, pixels, inception.")
    ] = "mnist,pixels",
    seed: SeedOption = 0,
    json: Annotated[Path | None, typer.Option(help="Also write the results to this JSON file.")] = None,
    backend: BackendOption = None,
):
    """Measure a run or a set of images against real digits; a run's record keeps the results.

    A run's stored samples (samples.npz) are measured where there are any, else samples are drawn and stored.
    """
    _use(backend)
    from .metrics import format_table
    from .runs.evaluation import evaluate_target

    results = evaluate_target(target, n=n, against=against.value, features=features.split(","), seed=seed)
    try:
        if json:  # first: what was measured is kept, whatever becomes of the printing
            write_text(json, "[" + ",\n".join(result.model_dump_json(indent=2) for result in results) + "]\n")
    finally:  # and printed, whatever becomes of the file
        print(format_table(results))


@app.command()
def publish(
    run: Annotated[Path | None, typer.Argument(help="A run folder, as 'ganvae train' writes it.")] = None,
    to: Annotated[Path | None, typer.Option(help="The folder in results/; with --from, results itself.")] = None,
    taken: Annotated[
        list[Path] | None, typer.Option("--from", help="Archives of runs trained elsewhere (results-N.tar.xz).")
    ] = None,
    n: Annotated[int, typer.Option(min=2, max=MAX_N, help="Samples to store.")] = DECISIONS.n_evaluation_samples,
    seed: SeedOption = 0,
    weights: Annotated[bool, typer.Option(help="Keep the weights, in float16, where they fit in 4 MB.")] = True,
    backend: BackendOption = None,
):
    """Bring a run into results/ in small, measured on what is kept: record, history, samples, snapshots, weights."""
    _use(backend)
    from .runs.publishing import KEEP
    from .runs.publishing import publish as bring

    if taken and run is not None:
        raise typer.BadParameter("name a run folder or archives with --from, not both", param_hint="'RUN'")
    if taken:
        from .runs.bundle import take_home

        for folder in take_home(taken, to or Path("results")):
            print(folder)
        return
    if run is None or to is None:
        raise typer.BadParameter("name a run folder and --to, or archives with --from", param_hint="'RUN'")
    record = bring(run, to, n=n, seed=seed, keep=KEEP if weights else ("samples", "snapshots"))
    print(f"{to}: {record.name}, {record.epochs_done} epochs, {len(record.metrics)} metrics of {n:,} samples")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A folder of results/ that keeps weights.")],
    to: Annotated[Path, typer.Option(help="The folder for NAME.js, NAME.png and their like.")] = Path(
        "book/_static/models"
    ),
    name: Annotated[str | None, typer.Option(help="What pages call the model. Default: vae, gan-compact, …")] = None,
    backend: BackendOption = None,
):
    """Write a run's decoder as a script that the book's explorers run in the page, and the picture in its stead."""
    _use(backend)
    from .explore.export import export as write

    told = write(run, to, name=name)
    print(f"the decoder of {told['run']} after {told['epochs']} epochs")
    for path in sorted(to.glob(f"{told['name']}.*")):
        print(f"{path}: {path.stat().st_size:,} bytes")


@app.command()
def sample(
    run: RunFolder,
    n: Annotated[int, typer.Option(min=1, max=MAX_N, help="How many images.")] = TRAINING.n_sample_images,
    seed: SeedOption = 0,
    epoch: Annotated[int | None, typer.Option(min=1, help="Use the named checkpoint of this epoch.")] = None,
    out: Annotated[Path, typer.Option(help="A .png (one picture, a grid) or a .npz (uint8 images).")] = Path(
        "samples.png"
    ),
    backend: BackendOption = None,
):
    """Draw new digits from a run's model."""
    _use(backend)
    from .runs import load_run, save_images
    from .runs import sample as draw

    if out.suffix not in (".png", ".npz"):
        raise typer.BadParameter(f"'{out}' must end in .png or .npz", param_hint="'--out'")
    model, record = load_run(run, epoch)
    save_images(out, draw(model, n, seed))
    print(f"{out}: {n} samples of {record.name} after {epoch or record.epochs_done} epochs, seed {seed}")


@app.command()
def classifier(
    out: Annotated[Path, typer.Option(help="Folder for the weights and the model card.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training images. Default: the recipe's.")
    ] = None,
    holdout: Annotated[int | None, typer.Option(min=1, help="Training images held out for validation.")] = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    backend: BackendOption = None,
):
    """Retrain the MNIST classifier behind the 'MNIST-classifier' metrics, and write its model card."""
    _use(backend)
    from .data import load_mnist
    from .metrics.classifier import train_classifier

    options = {} if epochs is None else {"epochs": epochs}
    card = train_classifier(load_mnist().limit(limit), out=out, seed=seed, holdout=holdout, **options)
    print(f"{out}: test accuracy {card['test']['accuracy']:.2%}")


@app.command()
def reproduce(
    only: Annotated[
        str | None,
        typer.Option(help="A run, or the beginning of several: vae-report, design/vae … (a wrong name lists them)."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds of each, from 0. Default: the run's own.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each run. Default: the run's own.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Precision of the arithmetic. Default: the run's own.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where the runs are trained, checkpoints and all.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Where they are published.")] = Path("results"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="As many processes at once, which share the cores (extra 'cluster').")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="The address of a Dask scheduler, HOST:8786, whose workers do the runs.")
    ] = None,
    backend: BackendOption = None,
):
    """Train and publish all runs of the course: the report's at full length, the designs, the baselines.

    Stopped, it goes on where it was; what is published is not done again. Needs the full MNIST. On two CPU cores the
    report's GAN takes some ten hours for 100 epochs, its VAE less than one. With --workers or --cluster a run whose
    process is killed goes on in another one, from its last epoch. A cluster's workers see the folders at these paths.
    """
    _use(backend)
    if workers and cluster:
        raise typer.BadParameter("name either --workers or --cluster", param_hint="'--cluster'")
    if workers or cluster:
        from .runs.cluster import reproduce_on

        run_all = partial(reproduce_on, workers=workers, cluster=cluster)
    else:
        from .runs.reproduce import reproduce as run_all

    chosen = precision.value if precision else None
    for folder in run_all(only=only, seeds=seeds, epochs=epochs, precision=chosen, runs=runs, results=results):
        print(folder)


@app.command()
def scoreboard(
    results: Annotated[Path, typer.Option(help="Folder of records, one folder a run.")] = Path("results"),
):
    """Print every record's metrics beside the report's numbers."""
    from .runs.scoreboard import Scoreboard

    print(Scoreboard.read(results).to_text())


def main() -> None:
    """Entry point: every mistake that a person can mend is one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an encoding without '−' or '×' prints '?' for it
    try:
        code = app(standalone_mode=False)
    except CourseError as error:
        _fail(error, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except OSError as error:
        told = error.filename or "a file", error.strerror or str(error), mend_of(error, "")
        _fail(": ".join(filter(None, told)), 4)
    except Exception as error:
        if not hasattr(error, "format_message"):  # Typer's own: a bad argument
            raise
        _fail(error.format_message(), 2)
    if code == 130:  # Ctrl-C; newer Typers return it instead of raising
        kept = {"train": " What was trained is kept: go on with --resume",
                "reproduce": " What was trained is kept: the same command goes on"}  # fmt: skip
        _fail(f"stopped.{next((kept[word] for word in sys.argv[1:2] if word in kept), '')}", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message, code: int) -> None:
    print(f"ganvae: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(code)


def _use(backend: Backend | None) -> None:
    """Keras reads its backend once, on import: set it before anything imports Keras."""
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend.value


if __name__ == "__main__":
    main()
