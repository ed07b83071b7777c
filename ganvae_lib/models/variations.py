"""Named variations of the models: which argument of which network, model or optimizer differs from the default."""

import inspect
import random
from contextlib import contextmanager
from itertools import combinations

from ..errors import CourseError
from ..quiet_keras import keras
from . import model_class


def _latent(d):
    return {"encoder": {"latent_dim": d}, "decoder": {"latent_dim": d}}


def _compact(d):
    return {
        "generator": {"latent_dim": d, "hidden": (7 * 7 * 64,), "filters": (32, 1)},
        "discriminator": {"filters": (32, 64, 128)},
    }


def joined(*changes: dict[str, dict]) -> dict[str, dict]:
    """Several changes as one; of an argument that two of them set, the later counts."""
    parts = dict.fromkeys(part for change in changes for part in change)
    return {part: {k: v for change in changes for k, v in change.get(part, {}).items()} for part in parts}


BATCH = {"normalisation": "batch"}
# What the report does not say of its GAN, each with another answer than ours.
SILENCES = {
    "beta-0.9": {"compile": {"beta_1": 0.9}},
    "dcgan-weights": {part: {"initial_weights": "dcgan"} for part in ("generator", "discriminator")},
    "batch-in-g": {"generator": BATCH},
    "batch-in-both": {"generator": BATCH, "discriminator": BATCH},
    "smoothing": {"model": {"real_label": 0.9}},
    "two-d-steps": {"model": {"d_steps": 2}},
    "r1": {"model": {"penalty": "r1"}},
    "rate-5": {"compile": {"learning_rate": 1e-3}},
}
# Four changes, each made or not: a factorial of 16 designs, by the names of what was changed, joined by '+'.
FACTORS = {
    "r1": SILENCES["r1"],
    "rate-5": SILENCES["rate-5"],
    "beta-0": {"compile": {"beta_1": 0.0}},
    "batch": SILENCES["batch-in-both"],
}
FACTORIAL = {
    "+".join(names): joined(*(FACTORS[name] for name in names))
    for k in range(len(FACTORS) + 1)
    for names in combinations(FACTORS, k)
}


WGAN_GP = {"loss": "wasserstein", "penalty": "gradient_penalty", "penalty_weight": 10.0}

_NARROW = {
    "encoder": {"filters": (16, 32), "hidden": (256, 128)},
    "decoder": {"hidden": (128, 256), "filters": (32, 1), "grid": 8},
}
_AVB = {"decoder": _NARROW["decoder"]}


# "model" holds arguments of the class, "compile" those of its optimizers, other keys those of the network of that name.
VARIATIONS = {
    "gan": {
        "report": {},
        "minimax": {"model": {"loss": "minimax"}},
        **{f"latent-{d}": {"generator": {"latent_dim": d}} for d in (10, 50, 200)},
        # One dense layer to 7×7×128, as DCGAN has it: no 12,544-unit layer, 0.84 million parameters instead of 79.7.
        "dcgan-like": {"generator": {"hidden": (7 * 7 * 128,)}},
        "two-layer-discriminator": {"discriminator": {"filters": (64, 128)}},
        # Both players small, so that the generator runs live in a page and both are kept in results/; not the report's.
        **{
            f"compact{name}": _compact(d)
            for name, d in {"": 10, "-latent-2": 2, "-latent-50": 50, "-latent-100": 100}.items()
        },
        "compact-minimax": _compact(10) | {"model": {"loss": "minimax"}},
        **{name: change for name, change in SILENCES.items()},
        **{f"compact-{name}": joined(_compact(10), change) for name, change in SILENCES.items()},
        **{f"compact-{name}": joined(_compact(10), change) for name, change in FACTORIAL.items() if name},
        "r1+rate-5": joined(SILENCES["r1"], SILENCES["rate-5"]),
        "r1+rate-5+batch-in-g": joined(SILENCES["r1"], SILENCES["rate-5"], SILENCES["batch-in-g"]),
        # 32 coordinates and a wider generator: the best small GAN of the book.
        "small-r1+rate-5": joined(
            {
                "generator": {"latent_dim": 32, "hidden": (7 * 7 * 96,), "filters": (32, 1)},
                "discriminator": {"filters": (32, 64, 128)},
            },
            {"model": {"penalty": "r1"}, "compile": {"learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99}},
        ),
        # The generator's step on noise of its own, not on the fake batch that the discriminator has just learned from.
        "compact-fresh": _compact(10) | {"model": {"share_fakes": False}},
        # Techniques of Salimans et al. (2016), one at a time; one-sided smoothing is above.
        "compact-minibatch": joined(_compact(10), {"discriminator": {"minibatch": (100, 5)}}),
        "compact-feature-matching": joined(_compact(10), {"model": {"feature_matching": True}}),
        "compact-historical": joined(_compact(10), {"model": {"historical": 0.01}}),
        # Wasserstein: Gulrajani et al. (2017), a faster one, Arjovsky et al. (2017); and hinge, Miyato et al. (2018).
        "compact-wgan-gp": joined(
            _compact(10), {"model": WGAN_GP | {"d_steps": 5}, "compile": {"beta_1": 0.0, "beta_2": 0.9}}
        ),
        "compact-wgan-gp-fast": joined(
            _compact(10),
            {"generator": BATCH, "model": WGAN_GP | {"d_steps": 2}},
            {"compile": {"learning_rate": 5e-4, "beta_1": 0.0, "beta_2": 0.9}},
        ),
        "compact-wgan-clip": joined(
            _compact(10),
            {"model": {"loss": "wasserstein", "clip": 0.01, "d_steps": 5}},
            {"compile": {"optimizer": "rmsprop", "learning_rate": 5e-5}},
        ),
        "compact-hinge-spectral": joined(
            _compact(10), {"discriminator": {"normalisation": "spectral"}, "model": {"loss": "hinge"}}
        ),
        # The style generator's control: its z, its size (98,813 against 95,697 parameters), its training, no styles.
        "style-control": {
            "generator": {"latent_dim": 16, "hidden": (7 * 7 * 60,), "filters": (32, 1)},
            "discriminator": {"filters": (32, 64, 128)},
            "model": {"penalty": "r1", "penalty_weight": 1.0},
            "compile": {"learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99},
        },
    },
    "vae": {
        "report": {},
        "mse": {"model": {"reconstruction": "mse"}},
        "product": {"model": {"objective": "product"}},
        "alternating": {"model": {"schedule": "alternating"}},
        **{f"beta-{b:g}": {"model": {"beta": b}} for b in (0.1, 0.5, 2.0, 4.0, 10.0)},
        **{f"latent-{d}": _latent(d) for d in (2, 5, 20, 50)},
        "dense-bridge": {"decoder": {"hidden": (256, 512, 7 * 7 * 64), "grid": 7}},
        "narrow": _NARROW,
        "iwae-5": _NARROW | {"model": {"objective": "iwae", "samples": 5}},
        "wide": {
            "encoder": {"filters": (64, 128), "hidden": (1024, 512)},
            "decoder": {"hidden": (512, 1024), "filters": (128, 1)},
        },
    },
    "conditional-vae": {"default": {}, "latent-3": _latent(3)},
    # Its control: G is told nothing of Q's loss, all else equal.
    "infogan": {
        "default": {},
        "no-information": {"model": {"information": 0.0}},
        "light-continuous": {"model": {"continuous_weight": 0.1}},
    },
    # On the compact pair. 'unbounded': the same networks, β at 0 throughout.
    "bottleneck-gan": {
        "default": _compact(10),
        "minimax": joined(_compact(10), {"model": {"loss": "minimax"}}),
        "unbounded": joined(_compact(10), {"model": {"information": 1e6}}),
        "minimax-unbounded": joined(_compact(10), {"model": {"loss": "minimax", "information": 1e6}}),
    },
    "diffusion": {"default": {}},
    # Networks of the size of the VAE's 'narrow'.
    "avb": {
        "default": _AVB,
        "plain": _AVB | {"model": {"contrast": "none"}},
    },
    "discogan": {
        **{domain: {"model": {"domain": domain}} for domain in ("inverse", "rotated", "thick")},
        "inverse-one-way": {"model": {"reconstruction": "one-way"}},
        "inverse-gan": {"model": {"reconstruction": "none"}},
    },
    # BigGAN's tricks, and each of them off in turn.
    "conditional-gan": {
        "default": {},
        "no-average": {"model": {"average": 0.0}},
        "no-skip": {"generator": {"skip": False}},
        "no-spectral": {"discriminator": {"normalisation": "none"}},
        "no-projection": {"discriminator": {"projection": False}},
        "small-embedding": {"generator": {"embedding_deviation": 0.05}},
        "bce": {"model": {"loss": "non-saturating"}},
        "orthogonal": {"model": {"orthogonal": 1e-4}},
    },
    "style-gan": {
        "default": {},
        "no-mixing": {"model": {"mixing": 0.0}},
        "half-mixing": {"model": {"mixing": 0.5}},
        "slow-mapping": {"mapping": {"rate": 0.01}},
    },
}


def configuration(kind: str, variation: str = "report") -> dict[str, dict]:
    """Every argument of a variation's networks, model and optimizers, defaults spelled out: what a record keeps.

    Raises:
      CourseError: there is no such model or variation; the message lists those there are.
    """
    model_class(kind)
    if variation not in VARIATIONS[kind]:
        raise CourseError(f"variation of the {kind} must be one of {', '.join(VARIATIONS[kind])}; got {variation!r}")
    return completed(kind, VARIATIONS[kind][variation])


def completed(kind: str, changes: dict[str, dict]) -> dict[str, dict]:
    """The configuration with these arguments and everything else as it is by default.

    It also reads the configuration of an older record, which lacks what models could not be asked then.

    Raises:
      CourseError: something in `changes` is no argument of that model or of its networks.
    """
    cls = model_class(kind)
    functions = {**cls.parts, "model": cls.__init__, "compile": cls.compile}
    config = {part: _defaults(function, cls) for part, function in functions.items()}
    for part, arguments in changes.items():
        unknown = set(arguments) - set(config.get(part, {}))
        if unknown or part not in config:
            told = f"{part}: {', '.join(sorted(unknown))}" if part in config else part
            raise CourseError(f"the {kind} has no argument {told}; it has {', '.join(config.get(part, config))}")
        config[part] |= arguments
    return {part: {k: list(v) if isinstance(v, tuple) else v for k, v in a.items()} for part, a in config.items()}


def build(kind: str, config: dict[str, dict], seed: int = 0):
    """The compiled model of a `configuration`. Initial weights are a function of `seed`, so is the noise."""
    cls = model_class(kind)
    keras.utils.set_random_seed(seed)
    tuples = {
        part: {k: tuple(v) if isinstance(v, list) else v for k, v in a.items()}
        for part, a in completed(kind, config).items()
    }
    with _own_seeds(seed):
        parts = {part: function(**tuples[part]) for part, function in cls.parts.items()}
        model = cls(**parts, **tuples["model"], seed=seed)
        model.compile(**tuples["compile"])
    return model


@contextmanager
def _own_seeds(seed: int):
    """Keras draws the seeds of initial weights from Python's global state, of which another thread may draw too.

    A Dask worker has such threads. The numbers are those that the global state would give.
    """
    from keras.src.random import seed_generator

    ours, theirs = random.Random(seed), seed_generator.python_random
    seed_generator.python_random = ours
    try:
        yield
    finally:
        seed_generator.python_random = theirs


def _defaults(function, cls) -> dict:
    """The keyword arguments of a network or model that a variation may set, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    skip = {"self", "seed", "name", *cls.parts}
    return {p.name: p.default for p in parameters
            if p.name not in skip and p.kind is p.POSITIONAL_OR_KEYWORD and not p.name.endswith("_optimizer")
            and (p.name, p.default) != ("optimizer", None)}  # fmt: skip
