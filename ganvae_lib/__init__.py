"""GANs and VAEs on MNIST: the library of the course. One room a module, imports point down only.

The names below load on first use, so that `import ganvae_lib` touches neither Keras nor a backend.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "load_mnist": "data",
    "GAN": "models.gan",
    "VAE": "models.vae",
    "train": "runs",
    "load_run": "runs",
    "Record": "runs.record",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
