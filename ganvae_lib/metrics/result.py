"""What a metric returns: never a bare number, and never bare 'FID'."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from ..errors import CourseError


class MetricError(CourseError):
    """A metric was asked of something it is not defined on; the message says of what, and the mend."""

    exit_code = 6


TITLES = {"mnist": "MNIST-classifier", "inception": "ImageNet-Inception", "pixels": "pixel"}
SpreadKind = Literal["standard error", "standard deviation over splits"]


class FeatureNetwork(BaseModel):
    """What turned images into features, as far as a number depends on it.

    `title` is how the network stands in a metric's name: 'MNIST-classifier', 'ImageNet-Inception', 'pixel'.
    `sha256` is of the weights and `accuracy` is the share of MNIST test digits the network names rightly;
    both are None where there is nothing to hash or to name (pixels).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    dim: PositiveInt
    sha256: str | None
    accuracy: FiniteFloat | None
    pixel_range: tuple[FiniteFloat, FiniteFloat]

    @classmethod
    def of(cls, network: Any) -> FeatureNetwork | None:
        """From a feature network (anything with `.describe()`), its description as a dict, or None."""
        if network is None or isinstance(network, cls):
            return network
        about = dict(network if isinstance(network, dict) else network.describe())
        about.setdefault("title", TITLES.get(about.get("name"), about.get("name")))
        return cls(**{key: about.get(key) for key in cls.model_fields})


class MetricResult(BaseModel):
    """One measured number with everything it depends on.

    `spread` is of the kind `spread_kind` names. `n` images were measured, against `n_reference` images of
    `reference`. `floor` is the same metric of real images in the place of the measured ones, at the same `n`;
    `floor_how` says which real images those were; None means not measured. It is what independent draws of real images
    get, and no bound: a distance's bias belongs to the samples too, and samples that are spread more evenly than
    independent ones can score below it. `better` is the direction of a good model, None where there is none. `extra`
    holds what belongs to one metric only, such as an extrapolation to infinite N.

    Frozen, and strict when read back: an unknown or a missing field is an error. `MetricResult.of` writes None
    for what it is not told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: FiniteFloat
    unit: str | None
    better: Literal["lower", "higher"] | None
    spread: FiniteFloat | None
    spread_kind: SpreadKind | None
    n: PositiveInt
    n_reference: PositiveInt | None
    reference: str | None
    feature_network: FeatureNetwork | None
    pixel_range: tuple[FiniteFloat, FiniteFloat] | None
    splits: PositiveInt | None
    seed: NonNegativeInt | None
    floor: FiniteFloat | None
    floor_how: str | None
    extra: dict[str, bool | int | FiniteFloat | str | list[int] | list[FiniteFloat] | None]

    @model_validator(mode="after")
    def _honest(self):
        words = self.name.lower().replace("-", " ").split()
        if "fid" in words:
            raise ValueError("a metric's name says which features and which distance, not 'FID'")
        if (self.spread is None) != (self.spread_kind is None):
            raise ValueError("spread and spread_kind come together")
        if (self.floor is None) != (self.floor_how is None):
            raise ValueError("floor and floor_how come together")
        return self

    @classmethod
    def of(cls, quantity: str, value: float, n: int, *, network: Any = None, **known: Any) -> MetricResult:
        """`quantity` of the features of `network`, e.g. 'Fréchet distance' → 'MNIST-classifier Fréchet distance'.

        Args:
          quantity: The metric's name, without the network.
          value: Finite, or a `MetricError` is raised: no NaN is ever recorded.
          n: How many images were measured.
          network: Feature network, its description, or None.
          **known: Any other field; those left out become None.
        """
        network = FeatureNetwork.of(network)
        if not math.isfinite(value):
            raise MetricError(f"{quantity} came out as {value}: the features are too large for float64")
        for field in ("spread", "floor"):
            if known.get(field) is not None and not math.isfinite(known[field]):
                raise MetricError(f"the {field} of {quantity} came out as {known[field]}: the numbers are too large")
        fields: dict[str, Any] = dict.fromkeys(cls.model_fields) | {
            "name": f"{network.title} {quantity}" if network else quantity,
            "pixel_range": network.pixel_range if network else None,
            "extra": {},
        }
        return cls(**(fields | {"value": float(value), "n": n, "feature_network": network} | known))

    def with_floor(self, floor: float, how: str) -> MetricResult:
        """The same result with its real-against-real floor."""
        return type(self)(**(self.model_dump() | {"floor": float(floor), "floor_how": how}))

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        line = f"{self.name} {figure(self.value)}"
        if self.spread is not None:
            line += f" ± {figure(self.spread)} ({self.spread_kind})"
        if self.unit:
            line += f" {self.unit}"
        line += f" · N = {self.n:,}"
        if self.n_reference:
            line += f" against {self.n_reference:,} of {self.reference or 'an unnamed set'}"
        line += f" · real against real {figure(self.floor)}" if self.floor is not None else ""
        if self.feature_network is not None:
            net = self.feature_network
            line += f" · network {net.name}, {net.dim} features"
            line += f", {net.sha256[:8]}" if net.sha256 else ""
            line += f", accuracy {net.accuracy:.2%}" if net.accuracy is not None else ""
        if self.pixel_range:
            line += " · pixels in [{:g}, {:g}]".format(*self.pixel_range).replace("-", "−")
        line += f" · {self.splits} split{'s' if self.splits > 1 else ''}" if self.splits else ""
        return line + (f" · seed {self.seed}" if self.seed is not None else "")


def figure(value: float) -> str:
    """Four significant digits, e.g. 12.35, 0.000123; whole numbers whole."""
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:#.4g}".rstrip(".") if 1e-4 <= abs(value) < 1e4 else f"{value:.4g}"


def checked_features(features: Any, what: str = "features", dim: int | None = None) -> np.ndarray:
    """`features` as an (N, d) array of float32 or float64, N ≥ 1, every entry finite.

    Raises:
      MetricError: Not two axes, not numbers, empty, of another d than `dim`, or NaN, infinity or a mask somewhere.
    """
    if np.ma.is_masked(features):
        raise MetricError(f"{what} have masked entries: leave those rows out")
    try:
        x = np.asarray(features)
    except ValueError:
        raise MetricError(f"{what} must have shape (N, d); these are lists of unequal lengths") from None
    if x.ndim != 2 or 0 in x.shape:
        raise MetricError(f"{what} must have shape (N, d) with N ≥ 1 and d ≥ 1, not {x.shape}")
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
        raise MetricError(f"{what} must be real numbers, not {x.dtype}")
    if dim is not None and x.shape[1] != dim:
        raise MetricError(f"{what} have d = {x.shape[1]} where d = {dim} is needed: use one feature network")
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise MetricError(f"{what} hold NaN or infinity: look at the network or the images that made them")
    return x
