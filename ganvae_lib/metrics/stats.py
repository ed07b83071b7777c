"""Mean and covariance of features, gathered batch by batch and kept so that no digit is lost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..checks import real_numbers
from ..files import read_npz, whole
from .result import MetricError, checked_features

MAX_THIRD_MOMENTS_DIM = 128  # d³ sums: 16 MB at d = 128
NEGATIVE = 1e-6  # of the largest variance of a covariance: how far below 0 another one is rounding
_EPS = np.finfo(np.float64).eps


class FeatureStats:
    """n, the mean and the centred scatter of feature vectors x ∈ R^d, in float64, from any split into batches.

    The scatter is kept as a triangular factor R with RᵀR = Σ (x − x̄)(x − x̄)ᵀ, not as the matrix itself: rounding
    then costs 10⁻¹⁶ of a standard deviation, where it costs 10⁻¹⁶ of a *variance* in a covariance matrix, which is
    10⁻⁸ of a standard deviation, and the Fréchet distance takes square roots. R has at most min(n, d) + 1 rows, so
    for n ≤ d it is (up to a rotation) the centred features themselves.

    Two parts a, b are joined by stacking (Chan, Golub & LeVeque 1983, as a factorisation):

        RᵀR = R_aᵀR_a + R_bᵀR_b + r rᵀ,    r = √(n_a n_b / (n_a + n_b)) (x̄_a − x̄_b)

    The mean is kept as shift + offset, the shift being the first feature vector, so that features with a mean
    of 10⁶ standard deviations lose nothing. With `third_moments=True` also Σ x⊗x⊗x and Σ ‖x‖^2k, k ≤ 3, are
    summed, from which the degree-3 kernel distance is exact (d ≤ 128).

    Raises:
      MetricError: NaN, infinity, an empty batch, a wrong shape, or another d than before.
    """

    def __init__(self, third_moments: bool = False):
        self.third_moments = third_moments
        self.n = 0  # feature vectors seen
        self._rows: list[np.ndarray] = []  # stacked, they are an R: (rows, d)
        self._factor: np.ndarray | None = None  # the R of few rows, once somebody has asked for it
        self.given: np.ndarray | None = None  # a covariance in the place of R, until R is needed
        self._shift: np.ndarray | None = None  # (d,), the first feature vector
        self._offset: np.ndarray | None = None  # (d,), mean − shift
        self._third: np.ndarray | None = None  # (d, d, d): Σ x_i x_j x_k for i ≤ j, i ≤ k
        self._norms = np.zeros(3)  # Σ ‖x‖², Σ ‖x‖⁴, Σ ‖x‖⁶

    @classmethod
    def from_features(cls, features: Any, third_moments: bool = False) -> FeatureStats:
        """Of one (N, d) array."""
        return cls(third_moments).update(features)

    @classmethod
    def from_covariance(cls, n: int, mean: Any, covariance: Any) -> FeatureStats:
        """From published statistics: the mean (d,) and the covariance (d, d) with divisor n − 1 of n vectors.

        A covariance matrix in float64 says nothing about variances below 10⁻¹⁶ of the largest; those are taken
        as 0. `update` on features knows more. A negative one is rounding up to 10⁻⁶ of the largest, else an error.
        """
        mean, cov = (
            real_numbers(v, what, error=MetricError).copy()
            for v, what in ((mean, "the mean"), (covariance, "the covariance"))
        )
        if n < 2 or mean.ndim != 1 or mean.size == 0 or cov.shape != (mean.size, mean.size):
            raise MetricError(f"n = {n}, mean {mean.shape} and covariance {cov.shape} must be n ≥ 2, (d,), (d, d)")
        probe = np.cos(np.arange(mean.size))  # C v = Cᵀv for a v of no special direction, in two cheap products
        with np.errstate(over="ignore", invalid="ignore"):
            asymmetry = float(np.abs(cov @ probe - probe @ cov).max())
            finite = math.isfinite(asymmetry) and math.isfinite(mean @ mean)
        if not finite:
            raise MetricError("mean or covariance holds NaN, infinity or numbers too large for float64")
        rounding = NEGATIVE * np.abs(np.diagonal(cov)).max()
        if asymmetry > rounding:
            raise MetricError("the covariance is not symmetric")
        try:  # it succeeds where no variance, in whatever direction, is below −rounding
            np.linalg.cholesky(cov + max(rounding, np.finfo(np.float64).tiny) * np.eye(mean.size))
        except np.linalg.LinAlgError:
            raise MetricError("the covariance has a negative variance: compute it again, in float64") from None
        self = cls()
        self.n, self._shift, self._offset = int(n), mean, np.zeros(mean.size)
        self.given = cov
        return self

    # --- gathering ----------------------------------------------------------------------------------------------

    def update(self, features: Any) -> FeatureStats:
        """Adds a batch (b, d), b ≥ 1, and returns self."""
        x = checked_features(features, dim=self.dim)
        if self._shift is None:
            if self.third_moments and x.shape[1] > MAX_THIRD_MOMENTS_DIM:
                raise MetricError(f"third moments need d ≤ {MAX_THIRD_MOMENTS_DIM}, not d = {x.shape[1]}")
            self._shift, self._offset = x[0].astype(np.float64), np.zeros(x.shape[1])
        if self.third_moments:
            self._add_third_moments(x)
        y = np.subtract(x, self._shift, dtype=np.float64)
        mean = np.full(len(y), 1.0 / len(y)) @ y
        y -= mean
        self._join(len(y), mean, [y])
        return self

    def _join(self, n: int, offset: np.ndarray, rows: list[np.ndarray]) -> None:
        """The stacking of the class docstring; `offset` is the other part's mean − self._shift."""
        step = offset - self._offset
        self._use_given()
        self._rows, self._factor = self._rows + rows, None
        if self.n:
            self._rows.append(np.sqrt(self.n * n / (self.n + n)) * step[None])
        self._offset = self._offset + step * (n / (self.n + n))
        self.n += n
        if sum(map(len, self._rows)) > max(4 * self.dim, 2048):
            self._rows = [self.factor]

    def _use_given(self) -> None:
        if self.given is not None:
            self._rows, self.given = [factor_of(self.given) * math.sqrt(self.n - 1.0)], None

    def _add_third_moments(self, x: np.ndarray) -> None:
        d = x.shape[1]
        if self._third is None:
            self._third = np.zeros((d, d, d))
        step = 4096  # rows: the products below stay in the cache
        with np.errstate(over="ignore", invalid="ignore"):  # infinite sums are refused where they are used
            for block in (x[s : s + step].astype(np.float64) for s in range(0, len(x), step)):
                columns = np.ascontiguousarray(block.T)
                for i in range(d):
                    self._third[i, i:, i:] += (columns[i] * columns[i:]) @ columns[i:].T
                squares = np.einsum("nd,nd->n", block, block)
                self._norms += [squares.sum(), (squares**2).sum(), (squares**3).sum()]

    def merge(self, other: FeatureStats) -> FeatureStats:
        """Adds all that `other` has seen (it stays as it is) and returns self."""
        if self.third_moments != other.third_moments:
            raise MetricError("one of the two statistics has no third moments: make both with the same setting")
        if other.n == 0:
            return self
        if self.n == 0:
            self._shift, self._offset = other._shift, np.zeros_like(other._shift)
        if self.dim != other.dim:
            raise MetricError(f"features of d = {self.dim} and d = {other.dim} do not mix: use one feature network")
        other._use_given()
        self._join(other.n, (other._shift - self._shift) + other._offset, other._rows)
        if self.third_moments:
            self._third = other._third + (0.0 if self._third is None else self._third)
            self._norms = self._norms + other._norms
        return self

    # --- what was gathered --------------------------------------------------------------------------------------

    @property
    def dim(self) -> int | None:
        """d, or None before the first batch."""
        return None if self._shift is None else len(self._shift)

    @property
    def factor(self) -> np.ndarray:
        """R with RᵀR = Σ (x − x̄)(x − x̄)ᵀ, at most d + 1 rows."""
        self._use_given()
        if not self._rows:
            raise MetricError("no features were seen: the set is empty")
        if self._factor is None:
            self._factor = _triangle(self._rows[0] if len(self._rows) == 1 else np.concatenate(self._rows))
        return self._factor

    @property
    def scatter(self) -> np.ndarray:
        """RᵀR, (d, d): the same but for rounding, and without a factorisation."""
        self._use_given()
        return sum(rows.T @ rows for rows in self._rows)

    @property
    def mean(self) -> np.ndarray:
        """x̄, (d,)."""
        if self.n == 0:
            raise MetricError("no features were seen: the set is empty")
        return self._shift + self._offset

    def mean_difference(self, other: FeatureStats) -> np.ndarray:
        """x̄ − x̄_other, (d,), exact to rounding of the difference itself."""
        return (self._shift - other._shift) + (self._offset - other._offset)

    @property
    def total_variance(self) -> float:
        """The covariance's trace, a sum of squares."""
        if self.n < 2:
            raise MetricError(f"a variance needs N ≥ 2, not {self.n}")
        if self.given is not None:
            return float(np.trace(self.given))
        entries = self.factor.ravel(order="K")
        return float(entries @ entries) / (self.n - 1)

    @property
    def covariance(self) -> np.ndarray:
        """RᵀR / (n − 1), (d, d)."""
        if self.n < 2:
            raise MetricError(f"a covariance needs N ≥ 2, not {self.n}")
        return self.factor.T @ self.factor / (self.n - 1)

    @property
    def third(self) -> np.ndarray:
        """Σ x_i x_j x_k, (d, d, d), where i ≤ j and i ≤ k; the rest, which follows by symmetry, is 0."""
        if self._third is None:
            raise MetricError("third moments were not gathered: use FeatureStats(third_moments=True)")
        return self._third

    @property
    def norms(self) -> np.ndarray:
        """Σ ‖x‖², Σ ‖x‖⁴, Σ ‖x‖⁶, (3,); with third moments only."""
        return self._norms

    # --- files --------------------------------------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Writes an .npz; no pickles."""
        arrays = {"n": np.int64(self.n), "factor": self.factor, "shift": self._shift, "offset": self._offset}
        if self.third_moments:
            arrays |= {"third": self._third, "norms": self._norms}
        with whole(path) as part, open(part, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Any) -> FeatureStats:
        """Reads what `save` wrote; `MetricError` when it is anything else."""
        try:
            arrays = read_npz(path)
            self = cls(third_moments="third" in arrays)
            self.n, self._rows = int(arrays["n"]), [arrays["factor"]]
            self._shift, self._offset = arrays["shift"], arrays["offset"]
            if self.third_moments:
                self._third, self._norms = arrays["third"], arrays["norms"]
        except FileNotFoundError:
            raise
        except Exception as error:
            raise MetricError(f"{path}: no statistics written by FeatureStats.save ({error})") from None
        d = self._shift.size
        shapes = {"factor": (len(arrays["factor"]), d), "shift": (d,), "offset": (d,), "norms": (3,)}
        shapes["third"] = (d, d, d)
        for name, array in arrays.items():
            if name != "n" and (array.shape != shapes.get(name) or not np.isfinite(array).all()):
                raise MetricError(f"{path}: '{name}' of shape {array.shape} is damaged: write the file again")
        return self


def _triangle(y: np.ndarray) -> np.ndarray:
    """R of at most d + 1 rows with RᵀR = yᵀy, by Cholesky, which is four to ten times faster than Householder's QR.

    Rounding in G = yᵀy hides standard deviations below 10⁻⁸ of the largest. Where the columns of y are far from
    dependent that does no harm. Else two rounds: R₁ᵀR₁ = G + sI, then R₂ᵀR₂ = zᵀz + sI with z = y R₁⁻¹, whose
    columns are tame, so that (R₂R₁)ᵀ(R₂R₁) = (1 + s) G + s² I: exact to s ≈ 10⁻¹³ of a *standard deviation*, the
    rank whatever it may be (the idea of Fukaya et al. 2020, shifted Cholesky QR).
    """
    if len(y) <= y.shape[1] + 1:
        return y
    with np.errstate(over="ignore", invalid="ignore"):
        gram = y.T @ y
    squares = np.diagonal(gram)
    if not np.isfinite(squares.sum()):
        raise MetricError("the features are too large for float64: scale them down")
    live = squares > 0  # a feature that never moves has no variance, and no covariance either
    if not live.all():
        if not live.any():
            return np.zeros((1, y.shape[1]))
        factor = _triangle(y[:, live])
        wide = np.zeros((len(factor), y.shape[1]))
        wide[:, live] = factor
        return wide
    scale = np.sqrt(squares)
    gram = gram / scale / scale[:, None]
    upper = _tame_cholesky(gram)
    return (_wild_cholesky(y / scale, gram) if upper is None else upper) * scale


def _tame_cholesky(gram: np.ndarray, least: float = 1e-4) -> np.ndarray | None:
    """Upper R with RᵀR = gram, or None where the columns are near dependent.

    A squared pivot over its diagonal entry is the share of a column's variance that the columns before it do not
    explain; no share may be below `least`.
    """
    try:
        upper = np.linalg.cholesky(gram).T
    except np.linalg.LinAlgError:
        return None
    pivots = np.diagonal(upper)
    return upper if (pivots * pivots > least * np.diagonal(gram)).all() else None


def _wild_cholesky(y: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """The two rounds of `_triangle`, of y with columns of length 1 and its gram = yᵀy."""
    from scipy.linalg import solve_triangular

    first, s = _shifted_cholesky(gram)
    z = solve_triangular(first, y.T, trans="T", check_finite=False)  # zᵀ, (d, n)
    return _shifted_cholesky(z @ z.T, s)[0] @ first / np.sqrt(1 + s)


def _shifted_cholesky(gram: np.ndarray, s: float | None = None) -> tuple[np.ndarray, float]:
    """(R, s) with RᵀR = gram + sI, for the smallest s that is tried and succeeds; gram has a diagonal near 1."""
    s = 4 * len(gram) * _EPS if s is None else s
    while s < 1e-3:
        try:
            return np.linalg.cholesky(gram + s * np.eye(len(gram))).T, s
        except np.linalg.LinAlgError:
            s *= 16
    raise ArithmeticError("no Cholesky factor of a Gram matrix: please report this")


def factor_of(covariance: np.ndarray) -> np.ndarray:
    """R with RᵀR = covariance: Cholesky's, or from the eigenvectors of variance above rounding where it is singular."""
    upper = _tame_cholesky(covariance, 1e-12)
    if upper is not None:
        return upper
    variances, axes = np.linalg.eigh(covariance)
    kept = variances > len(variances) * _EPS * variances[-1]
    return np.sqrt(variances[kept])[:, None] * axes[:, kept].T
