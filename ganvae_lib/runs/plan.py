"""Every run of the course: what is trained, for how long, with how many seeds, and what is kept of it."""

from dataclasses import dataclass
from functools import partial

from ..models.baselines import BASELINES
from ..paper import DECISIONS, TRAINING
from .publishing import KEEP

DESIGN_EPOCHS, DESIGN_SEEDS = 3, 2  # one budget for every design: they are compared with one another
BEYOND_EPOCHS, BEYOND_SEEDS = 10, 3  # and one for what goes beyond the report
SHORT_EPOCHS = 3  # and one that two cores have time for: chapters 7, 21, 29, 30
SILENCE_EPOCHS = 10  # of the report's GAN with one of the report's silences answered otherwise


@dataclass(frozen=True)
class Run:
    """What is trained and what `publish` keeps of it. `folder` is the folder in `results/`, without the seed.

    Seeds after the first are there for the spread: `keep_others` is what is kept of them. Colab clones it all.
    `features` are the networks that samples are measured in; `invert` searches images in a small generator.
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
    batch_size: int = DECISIONS.batch_size
    features: tuple[str, ...] = ("mnist", "pixels")
    invert: bool = True


def _design(kind: str, *variations: str, folder="design", **options) -> dict[str, Run]:
    """Runs at the designs' budget, as 'folder/kind-variation'."""
    names = {v: f"{folder}/{kind}-{v}" for v in variations}
    return {
        name: Run(kind, v, name, DESIGN_EPOCHS, DESIGN_SEEDS, n=2_000, keep=("samples", "snapshots"), **options)
        for v, name in names.items()
    }


def _beyond(kind: str, *variations: str, keep=("snapshots",), epochs=BEYOND_EPOCHS, folder="beyond") -> dict[str, Run]:
    """Runs at the budget of the last part, as 'folder/kind-variation', measured in the classifier's features."""
    names = {v: f"{folder}/{kind}-{v}" for v in variations}
    return {
        name: Run(kind, v, name, epochs, BEYOND_SEEDS, keep=keep, features=("mnist",), invert=False)
        for v, name in names.items()
    }


_short = partial(_beyond, folder="short", epochs=SHORT_EPOCHS)


def _silences(prefix: str, *names: str, **options) -> dict[str, Run]:
    """The report's GAN, or the compact one, with one of the report's silences answered otherwise."""
    runs = {}
    for name in names:
        batch = int(name.removeprefix("batch-")) if name in ("batch-64", "batch-256") else DECISIONS.batch_size
        variation = "-".join(part for part in (prefix, "" if batch != DECISIONS.batch_size else name) if part)
        folder = "beyond/gan-" + "-".join(part for part in (prefix or "report", name) if part)
        runs[folder] = Run("gan", variation or "report", folder, batch_size=batch, features=("mnist",), invert=False,
                           **options)  # fmt: skip
    return runs


SILENCE_NAMES = (
    "beta-0.9", "dcgan-weights", "batch-in-g", "batch-in-both", "smoothing", "two-d-steps", "r1", "batch-64",
    "batch-256",
)  # fmt: skip
COMPACT = {"epochs": BEYOND_EPOCHS, "seeds": BEYOND_SEEDS, "keep": ("snapshots",)}
FULL_SIZE = {"epochs": SILENCE_EPOCHS, "keep": ("snapshots",), "precision": "mixed_bfloat16"}


def _table() -> dict[str, Run]:
    from ..models.variations import FACTORIAL

    # The cheap ones first: whoever stops early has something of everything.
    return {
        **{f"baseline-{name}": Run("baseline", name, f"baseline-{name}", epochs=0) for name in BASELINES},
        "vae-narrow": Run("vae", "narrow", "vae-narrow", epochs=50, n=2_000),
        "gan-compact": Run("gan", "compact", "gan-compact", epochs=30, n=2_000),
        **_design("vae", "report", "latent-2", "latent-5", "latent-20", "latent-50", "narrow", "wide", "dense-bridge",
                  "mse", "product", "alternating", "beta-0.1", "beta-0.5", "beta-2", "beta-4", "beta-10"),
        **_design("gan", "compact", "compact-latent-2", "compact-latent-50", "compact-latent-100", "compact-minimax"),
        # To be held against the same runs of the designs, in float32.
        **_design("vae", "report", folder="bfloat16", precision="mixed_bfloat16"),
        **_design("gan", "compact", folder="bfloat16", precision="mixed_bfloat16"),
        # Beyond the report: a factorial, the report's silences one by one, the systems of its related work.
        **{f"beyond/gan-compact{'-' * bool(name)}{name}": Run(
            "gan", f"compact{'-' * bool(name)}{name}", f"beyond/gan-compact{'-' * bool(name)}{name}",
            features=("mnist",), invert=False, **COMPACT) for name in FACTORIAL},
        **_beyond("gan", "small-r1+rate-5", keep=("snapshots", "weights", "samples")),
        **_beyond("conditional-vae", "default", "latent-3", keep=("snapshots", "weights")),
        **_beyond("infogan", "default", "no-information", "light-continuous"),
        **_beyond("gan", "compact-minibatch", "compact-feature-matching", "compact-historical", "compact-minimax",
                  "compact-wgan-gp", "compact-wgan-gp-fast", "compact-wgan-clip", "compact-hinge-spectral"),
        **_beyond("gan", "style-control", keep=("snapshots", "weights")),  # its paths are measured in a chapter
        **_beyond("bottleneck-gan", "default", "minimax", "unbounded", "minimax-unbounded"),
        **_beyond("conditional-gan", "default", keep=("snapshots", "weights")),
        **_beyond("conditional-gan", "no-average", "no-skip", "no-spectral", "no-projection", "small-embedding", "bce",
                  "orthogonal"),
        **_beyond("style-gan", "default", keep=("snapshots", "weights")),
        **_beyond("style-gan", "no-mixing"),
        **_beyond("avb", "default", "plain"),
        **_beyond("vae", "narrow", "iwae-5"),
        **_beyond("diffusion", "default", keep=("snapshots", "weights")),
        **_beyond("discogan", "inverse", "rotated", "thick", "inverse-one-way", "inverse-gan"),
        **_silences("compact", *(name for name in SILENCE_NAMES if name != "batch-in-both"), "fresh", **COMPACT),
        **_short("gan", "small-r1+rate-5", "compact", "compact-fresh", "compact-minibatch", "compact-hinge-spectral",
                 "compact-wgan-gp-fast", "compact-minimax", "compact-batch-in-g"),
        **_short("bottleneck-gan", "default", "minimax", "unbounded", "minimax-unbounded"),
        **_short("gan", "compact-wgan-gp", "compact-wgan-clip", "compact-feature-matching", "compact-smoothing",
                 "compact-historical"),
        "vae-report": Run("vae", "report", "vae-report", seeds=3, keep_others=("samples",)),
        "vae-mse": Run("vae", "mse", "vae-mse", seeds=3, keep=("samples", "snapshots", "codes")),
        "gan-report": Run("gan", "report", "gan-report", seeds=3, precision="mixed_bfloat16"),
        # What held the compact GAN together, at the report's size and for as long.
        "gan-remedy": Run("gan", "r1+rate-5+batch-in-g", "gan-remedy", precision="mixed_bfloat16"),
        **_silences("", *SILENCE_NAMES, "r1+rate-5", "r1+rate-5+batch-in-g", **FULL_SIZE),
        # Each of these has an expensive player: minutes an epoch on two cores.
        **_design("gan", "dcgan-like", "two-layer-discriminator", "report", "latent-10", "latent-50", "latent-200",
                  "minimax"),
    }  # fmt: skip


RUNS = _table()
