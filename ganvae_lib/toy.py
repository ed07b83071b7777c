"""Known densities for the theory chapters: where the truth is a formula, a claim can be checked to the last digit."""

from dataclasses import dataclass

import numpy as np

from .checks import real_numbers
from .errors import CourseError

LARGEST = 1e50  # its square is a number too


def _densities(p, q, x) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p, q, x = (real_numbers(v, what, LARGEST) for v, what in ((p, "a density"), (q, "a density"), (x, "the grid")))
    if x.ndim != 1 or not p.shape == q.shape == x.shape or x.size < 2 or (np.diff(x) <= 0).any():
        raise CourseError(f"a rising grid (n,) and densities on it are needed, not {x.shape}, {p.shape}, {q.shape}")
    if (p < 0).any() or (q < 0).any():
        raise CourseError("a density is nowhere negative")
    return p, q, x


@dataclass(frozen=True)
class Mixture:
    """A density on the line, p(x) = Σ_k w_k N(x; m_k, s_k²): to draw from, to evaluate, to integrate on a grid.

    Args:
      means: m_k; one number is a single Gaussian.
      scales: s_k > 0, or one number for all of them.
      weights: w_k > 0, made to sum to 1; equal where not given.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] | None = None

    def __post_init__(self):
        means = np.atleast_1d(real_numbers(self.means, "means", LARGEST))
        weights = np.ones_like(means) if self.weights is None else real_numbers(self.weights, "weights", LARGEST)
        scales = real_numbers(self.scales, "scales", LARGEST)
        if means.ndim != 1 or means.size == 0 or weights.shape != means.shape or scales.size not in (1, means.size):
            raise CourseError(f"{means.size} means need as many weights, and as many scales or one for all")
        if (scales < 1e-50).any() or (weights < 1e-50).any():
            raise CourseError("means must be finite, scales and weights greater than 0")
        parts = {"means": means, "scales": np.resize(scales, means.shape), "weights": weights / weights.sum()}
        for name, value in parts.items():
            object.__setattr__(self, name, tuple(value.tolist()))

    def log_pdf(self, x) -> np.ndarray:
        """The log-density, log p(x), in nats, elementwise; −∞ only where the square of (x − m)/s is no number."""
        parts = (np.asarray(x, dtype=float)[..., None] - self.means) / self.scales
        return np.logaddexp.reduce(np.log(self.weights) - np.log(self.scales) - parts**2 / 2, axis=-1) - LOG_2_PI / 2

    def pdf(self, x) -> np.ndarray:
        """p(x), elementwise."""
        return np.exp(self.log_pdf(x))

    def score(self, x) -> np.ndarray:
        """The slope d log p(x) / dx, elementwise."""
        x = np.asarray(x, dtype=float)[..., None]
        parts = np.log(self.weights) - np.log(self.scales) - ((x - self.means) / self.scales) ** 2 / 2
        share = np.exp(parts - np.logaddexp.reduce(parts, axis=-1, keepdims=True))  # p(k | x)
        return np.sum(share * (np.asarray(self.means) - x) / np.square(self.scales), axis=-1)

    def sample(self, n: int, rng) -> np.ndarray:
        """`n` draws (n,), with a NumPy generator."""
        k = rng.choice(len(self.means), size=n, p=self.weights)
        return np.take(self.means, k) + np.take(self.scales, k) * rng.standard_normal(n)


@dataclass(frozen=True)
class Ring:
    """`modes` equal Gaussians N(c_k, scale² I) in the plane, their centres evenly on a circle: where GANs are tried.

    Metz et al. (2017), Unrolled GANs, arXiv:1611.02163, §3.1, with 8 modes on a circle of radius 2 and scale 0.02;
    a wider 0.1 here, so that short training can show more than one outcome.
    """

    modes: int = 8
    radius: float = 2.0
    scale: float = 0.1

    def __post_init__(self):
        if not (float(self.modes).is_integer() and self.modes >= 1 and self.radius > 0 and self.scale > 0):
            raise CourseError("a ring has a whole number of modes, 1 or more, and a radius and a scale above 0")

    @property
    def centres(self) -> np.ndarray:
        """c_k, (modes, 2), the first on the right, then counter-clockwise."""
        angle = 2 * np.pi * np.arange(self.modes) / self.modes
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def log_pdf(self, x) -> np.ndarray:
        """The log-density in nats for points (…, 2)."""
        square = np.sum((np.asarray(x, dtype=float)[..., None, :] - self.centres) ** 2, axis=-1)
        each = -square / (2 * self.scale**2) - LOG_2_PI - 2 * np.log(self.scale)
        return np.logaddexp.reduce(each, axis=-1) - np.log(self.modes)

    def sample(self, n: int, rng) -> np.ndarray:
        """`n` points (n, 2), float32."""
        k = rng.integers(self.modes, size=n)
        return (self.centres[k] + self.scale * rng.standard_normal((n, 2))).astype("float32")

    def coverage(self, x) -> tuple[int, float, np.ndarray]:
        """What points (N, 2) found: (modes found, share of good points, good points of each mode (modes,)).

        A point is good within 3·scale of a centre, as 98.9 % of real points are (1 − e^{−9/2} in the plane). A mode
        is found if it has a tenth of its fair share, N / (10 · modes), of good points, and at least one.
        """
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or x.shape[1] != 2 or len(x) == 0 or not np.isfinite(x).all():
            raise CourseError(f"points must be finite and have shape (N, 2), N ≥ 1; got {x.shape}")
        distance = np.linalg.norm(x[:, None] - self.centres, axis=-1)
        nearest = distance.argmin(axis=1)
        counts = np.bincount(nearest[distance.min(axis=1) < 3 * self.scale], minlength=self.modes)
        return int(np.sum(counts >= max(1.0, len(x) / (10 * self.modes)))), float(counts.sum() / len(x)), counts


def kl(p, q, x) -> float:
    """KL(p ‖ q) = ∫ p log(p/q) dx in nats, of densities given on the grid x, by the trapezoidal rule; 0 log 0 = 0.

    ∞ where p has mass and q has none: a density that underflowed to 0 counts as none.
    """
    p, q, x = _densities(p, q, x)
    if ((p > 0) & (q <= 0)).any():
        return float("inf")
    inside = p > 0
    ratio = np.log(np.where(inside, p, 1.0)) - np.log(np.where(inside, q, 1.0))
    return float(np.trapezoid(p * ratio, x))


def jsd(p, q, x) -> float:
    """JSD(p ‖ q) = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q)/2, in nats: between 0 and log 2. Lin (1991)."""
    p, q, x = _densities(p, q, x)
    s = p + q  # 2m, so that half of the smallest number does not become 0
    return (kl(p, s, x) + kl(q, s, x) + float(np.log(2) * np.trapezoid(s, x))) / 2


def total_variation(p, q, x) -> float:
    """TV(p, q) = ½ ∫ |p − q| dx, between 0 and 1: the largest difference in probability of any event."""
    p, q, x = _densities(p, q, x)
    return float(np.trapezoid(np.abs(p - q), x) / 2)


def wasserstein(p, q, x) -> float:
    """W₁(p, q) = ∫ |P − Q| dx with the distribution functions P, Q: in units of x, the mean distance mass must move."""
    p, q, x = _densities(p, q, x)
    difference = p - q
    steps = np.diff(x) * (difference[1:] + difference[:-1]) / 2
    return float(np.trapezoid(np.abs(np.concatenate([[0.0], np.cumsum(steps)])), x))


def mlp(inputs: int, outputs: int, hidden: tuple[int, ...] = (128, 128), activation: str = "relu", name: str = "mlp"):
    """A small dense network with a linear output, (N, inputs) → (N, outputs): a GAN of points is GAN(G, D) of two."""
    from .quiet_keras import keras

    layers = [keras.layers.Dense(n, activation) for n in hidden]
    return keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(outputs)], name=name)


LOG_2_PI = float(np.log(2 * np.pi))
