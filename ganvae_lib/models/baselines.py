"""Generative models without a network: what any score of a GAN or VAE should be held against.

    images = Gaussian().fit(data.x_train).sample(10_000, seed=0)

A score that one of these reaches is no achievement of a network, and `TrainingData`, which hands real images
back, shows what the score of a perfect model would be. In and out, images are float32 (N, 28, 28, 1) on
[−1, 1].
"""

from __future__ import annotations

import numpy as np

from ..errors import CourseError
from ..metrics.features import check_images


class Baseline:
    """`fit(x)` learns from images and returns the model; `sample(n, seed)` draws n images from it.

    After `fit`, `parameters` is how many numbers it has learned.
    """

    name: str
    parameters: int

    def fit(self, x: np.ndarray) -> Baseline:
        """Learn from images (N, 28, 28, 1) on [−1, 1], N ≥ 2."""
        x = check_images(x)
        if len(x) < 2:
            raise CourseError("one image has no spread to learn: fit on two images or more")
        self._fit(x.reshape(len(x), 784))
        self.n_fitted = len(x)
        return self

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw `n` images (n, 28, 28, 1) on [−1, 1], float32."""
        if not hasattr(self, "n_fitted"):
            raise CourseError(f"{type(self).__name__} has seen no images: call fit(x_train) first")
        if n < 1:
            raise CourseError(f"n is {n}: draw at least 1 image")
        x = self._sample(n, np.random.default_rng(seed))
        return np.clip(x, -1, 1).astype("float32").reshape(n, 28, 28, 1)


class IndependentPixels(Baseline):
    """p(x) = ∏ᵢ pᵢ(xᵢ): each pixel has its own histogram of grey levels and knows nothing of its neighbours.

    Images that are not on the 256 levels are rounded to them. The probabilities are the counts, unsmoothed.
    """

    name = "independent-pixels"

    def _fit(self, x):
        n = len(x)
        levels = np.rint((x + 1) * 127.5).astype(int)
        cells = (levels + 256 * np.arange(784)).ravel()
        self.counts = np.bincount(cells, minlength=784 * 256).reshape(784, 256)
        self.parameters = 784 * 255  # 256 shares that sum to 1
        # Pixel i's cumulative counts run from n·i to n·(i + 1), so that one sorted array serves all pixels.
        self._cumulative = (self.counts.cumsum(axis=1) + n * np.arange(784)[:, None]).ravel()

    def _sample(self, n, rng):
        u = rng.integers(self.n_fitted, size=(n, 784)) + self.n_fitted * np.arange(784)
        levels = np.searchsorted(self._cumulative, u, side="right") - 256 * np.arange(784)
        return levels / 127.5 - 1


class Gaussian(Baseline):
    """x = μ + Σ^½ z with z ~ N(0, I), clipped to [−1, 1]: the pixels' mean and 784×784 covariance.

    Some pixels are the same in every digit, so Σ is singular; its symmetric root exists all the same and
    nothing is added to the diagonal (eigenvalues that rounding made negative count as 0). Before clipping the
    samples have exactly the data's two moments, and so a pixel Fréchet distance of zero. Clipping changes
    them: a Gaussian puts about half of a dark pixel's mass below black. `sample` returns what an image can
    be.
    """

    name = "gaussian"

    def _fit(self, x):
        self.mean = x.mean(axis=0, dtype="float64")
        self.covariance = np.cov(x, rowvar=False, dtype="float64")
        self.parameters = 784 + 784 * 785 // 2
        variances, axes = np.linalg.eigh(self.covariance)
        # The symmetric root, unlike axes · √variances, is the same whatever signs a machine gives the axes.
        self._root = (axes * np.sqrt(np.maximum(variances, 0))) @ axes.T

    def _sample(self, n, rng):
        return self.mean + rng.standard_normal((n, 784)) @ self._root


class PCAGaussian(Baseline):
    """x = μ + W diag(λ)^½ z with z ~ N(0, I_k), clipped to [−1, 1]: the k directions of largest variance.

    The linear VAE's optimum, but for its noise: what k latent numbers give without a network. The other
    directions are left out.

    Args:
      k: number of components, 1 to 784.
    """

    name = "pca-gaussian"

    def __init__(self, k: int = 10):
        if not 1 <= k <= 784:
            raise CourseError(f"k is {k}: keep between 1 and 784 components")
        self.k = k

    def _fit(self, x):
        self.mean = x.mean(axis=0, dtype="float64")
        variances, axes = np.linalg.eigh(np.cov(x, rowvar=False, dtype="float64"))
        self.variances = np.maximum(variances[::-1][: self.k], 0)
        self.parameters = 784 + self.k + 784 * self.k
        self.explained = self.variances.sum() / max(variances.sum(), np.finfo(float).tiny)
        axes = axes[:, ::-1][:, : self.k].T
        # Of the two signs of an axis, the one whose largest entry is positive, on every machine.
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        self.components = axes * np.sign(largest)

    def _sample(self, n, rng):
        return self.mean + (rng.standard_normal((n, self.k)) * np.sqrt(self.variances)) @ self.components


class TrainingData(Baseline):
    """The images it was fitted on, in a random order: real against itself, where every score has its floor.

    No image comes a second time before all have come once.
    """

    name = "training-data"

    def _fit(self, x):
        self._x = x
        self.parameters = x.size

    def _sample(self, n, rng):
        rounds = -(-n // self.n_fitted)
        order = np.concatenate([rng.permutation(self.n_fitted) for _ in range(rounds)])[:n]
        return self._x[order]


BASELINES = {model.name: model for model in (IndependentPixels, Gaussian, PCAGaussian, TrainingData)}
