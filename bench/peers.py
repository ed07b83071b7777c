"""The libraries that our metrics are measured beside: imported as far as they are installed."""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types

import numpy as np

from ganvae_lib.metrics import FeatureStats
from ganvae_lib.metrics.frechet import frechet_value

OURS = "ours"


class _Absent(types.ModuleType):
    """An empty torchvision: three peers import it beside the functions that are timed here, which do not use it."""

    __path__ = ()
    __version__ = "0.0"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else importlib.import_module(f"{self.__name__}.{name}")


class _AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Absent(spec.name)

    def exec_module(self, module):
        pass


def peer(module: str, function: str):
    """A peer's function, or None where it cannot be imported."""
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, RuntimeError):
        return None


def load_peers() -> dict:
    found = {}
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        sys.meta_path.append(_AbsentFinder())
    for name, module, function in (
        ("torchmetrics", "torchmetrics.image.fid", "_compute_fid"),
        ("torch-fidelity", "torch_fidelity.metric_fid", "fid_statistics_to_metric"),
        ("torch-fidelity KID", "torch_fidelity.metric_kid", "kid_features_to_metric"),
        ("torch-fidelity IS", "torch_fidelity.metric_isc", "isc_features_to_metric"),
        ("pytorch-fid", "pytorch_fid.fid_score", "calculate_frechet_distance"),
        ("clean-fid", "cleanfid.fid", "frechet_distance"),
        ("prdc", "prdc", "compute_prdc"),
    ):
        found[name] = peer(module, function)
    return {name: function for name, function in found.items() if function is not None}


def frechet_contenders(peers: dict) -> dict:
    """Functions of (n, mean, covariance) twice → the distance."""

    def ours(n, mean_a, cov_a, mean_b, cov_b):
        return frechet_value(
            FeatureStats.from_covariance(n, mean_a, cov_a), FeatureStats.from_covariance(n, mean_b, cov_b)
        )

    def torch_fidelity(n, mean_a, cov_a, mean_b, cov_b):
        stats = {"mu": mean_a, "sigma": cov_a}, {"mu": mean_b, "sigma": cov_b}
        return peers["torch-fidelity"](*stats, False)["frechet_inception_distance"]

    def torchmetrics(n, *stats):
        import torch

        return float(peers["torchmetrics"](*(torch.from_numpy(np.asarray(s)) for s in stats)))

    found = {OURS: ours}
    if "torch-fidelity" in peers:
        found["torch-fidelity"] = torch_fidelity
    if "torchmetrics" in peers:
        found["torchmetrics"] = torchmetrics
    for name in ("pytorch-fid", "clean-fid"):
        if name in peers:
            found[name] = lambda n, *stats, name=name: float(np.real(peers[name](*stats)))
    return found
