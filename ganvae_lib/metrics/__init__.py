"""Metrics: each returns a `MetricResult`, which knows what its number depends on.

    from ganvae_lib.metrics import feature_network, frechet_distance
    features, logits = feature_network("mnist")(images)

NumPy only at import; SciPy is loaded by the first covariance, Keras by the networks that need it.
"""

from .classes import class_metrics
from .evaluate import evaluate_samples, format_table, load_images
from .features import check_images, feature_network
from .frechet import frechet_distance
from .inception_score import inception_score
from .kid import kernel_distance
from .memorisation import memorisation_metrics
from .neighbours import nearest_neighbours
from .prdc import precision_recall_density_coverage
from .reconstruction import gaussian_log_weights, importance_weighted_bound, reconstruction_metrics
from .result import FeatureNetwork, MetricError, MetricResult
from .stats import FeatureStats

__all__ = [
    "FeatureNetwork",
    "FeatureStats",
    "MetricError",
    "MetricResult",
    "check_images",
    "class_metrics",
    "evaluate_samples",
    "feature_network",
    "format_table",
    "frechet_distance",
    "gaussian_log_weights",
    "importance_weighted_bound",
    "inception_score",
    "kernel_distance",
    "load_images",
    "memorisation_metrics",
    "nearest_neighbours",
    "precision_recall_density_coverage",
    "reconstruction_metrics",
]
