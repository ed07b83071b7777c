"""Named variations of both models: which argument of which network or model differs from the report's."""

import inspect

from . import networks
from .errors import CourseError
from .gan import GAN
from .quiet_keras import keras
from .vae import VAE

MODELS = {"gan": GAN, "vae": VAE}
PARTS = {"gan": ("generator", "discriminator"), "vae": ("encoder", "decoder")}


def _latent(d):
    return {"encoder": {"latent_dim": d}, "decoder": {"latent_dim": d}}


def _compact(d):
    return {
        "generator": {"latent_dim": d, "hidden": (7 * 7 * 64,), "filters": (32, 1)},
        "discriminator": {"filters": (32, 64, 128)},
    }


# "model" holds arguments of GAN or VAE, the other keys arguments of the network of that name.
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
    },
    "vae": {
        "report": {},
        "mse": {"model": {"reconstruction": "mse"}},
        "product": {"model": {"objective": "product"}},
        "alternating": {"model": {"schedule": "alternating"}},
        **{f"beta-{b:g}": {"model": {"beta": b}} for b in (0.1, 0.5, 2.0, 4.0, 10.0)},
        **{f"latent-{d}": _latent(d) for d in (2, 5, 20, 50)},
        "dense-bridge": {"decoder": {"hidden": (256, 512, 7 * 7 * 64), "grid": 7}},
        "narrow": {
            "encoder": {"filters": (16, 32), "hidden": (256, 128)},
            "decoder": {"hidden": (128, 256), "filters": (32, 1), "grid": 8},
        },
        "wide": {
            "encoder": {"filters": (64, 128), "hidden": (1024, 512)},
            "decoder": {"hidden": (512, 1024), "filters": (128, 1)},
        },
    },
}


def configuration(kind: str, variation: str = "report") -> dict[str, dict]:
    """Every argument of a variation's networks and model, defaults spelled out: what a record keeps.

    Raises:
      CourseError: there is no such model or variation; the message lists those there are.
    """
    if kind not in MODELS:
        raise CourseError(f"model must be one of {', '.join(MODELS)}; got {kind!r}")
    if variation not in VARIATIONS[kind]:
        raise CourseError(f"variation of the {kind} must be one of {', '.join(VARIATIONS[kind])}; got {variation!r}")
    changes = VARIATIONS[kind][variation]
    config = {part: _defaults(getattr(networks, part)) | changes.get(part, {}) for part in PARTS[kind]}
    config["model"] = _defaults(MODELS[kind]) | changes.get("model", {})
    return {part: {k: list(v) if isinstance(v, tuple) else v for k, v in a.items()} for part, a in config.items()}


def build(kind: str, config: dict[str, dict], seed: int = 0):
    """The compiled model of a `configuration`. Initial weights are a function of `seed`, so is the noise."""
    keras.utils.set_random_seed(seed)
    tuples = {part: {k: tuple(v) if isinstance(v, list) else v for k, v in a.items()} for part, a in config.items()}
    parts = {part: getattr(networks, part)(**tuples[part]) for part in PARTS[kind]}
    model = MODELS[kind](**parts, **tuples["model"], seed=seed)
    model.compile()
    return model


def _defaults(function) -> dict:
    """The keyword arguments of a network or model that a variation may set, with their defaults."""
    parameters = inspect.signature(function).parameters
    skip = {"seed", "name", *PARTS["gan"], *PARTS["vae"]}
    return {name: p.default for name, p in parameters.items() if name not in skip}
