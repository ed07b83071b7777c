"""Every metric of an array of images, against a reference set, with its real-against-real floor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..files import NPZ_FAULTS, first_line, read_npz
from .classes import class_metrics
from .features import PixelFeatures, check_images
from .frechet import frechet_distance, merged
from .inception_score import inception_score
from .kid import kernel_distance
from .memorisation import memorisation_metrics
from .pictures import load_folder
from .prdc import precision_recall_density_coverage, radii
from .result import MetricError, MetricResult, figure
from .stats import MAX_THIRD_MOMENTS_DIM, FeatureStats

PARTS = 10  # disjoint parts of each set: what standard errors and the extrapolation are made of
ROWS = 10_000  # feature vectors kept of each set: for precision and recall, and for the kernel distance of d > 128
QUERIES = 2_000  # samples, and fresh images, whose nearest training image is looked for
_BATCH = 500
Progress = Callable[[str, int, int], None]


def evaluate_samples(
    images: Any,
    reference_images: Any,
    feature_networks: Iterable[Any],
    seed: int = 0,
    *,
    reference: str = "MNIST test set",
    floor_images: Any = None,
    floor: str = "MNIST training set",
    train_images: Any = None,
    train: str = "MNIST training set",
    splits: int = 1,
    k: int = 5,
    progress: Progress | None = None,
) -> list[MetricResult]:
    """All metrics of `images` against `reference_images` in each feature network.

    The floor is what the metric says of real images in the place of `images`: as many of `floor_images`, drawn
    with `seed`. Without `floor_images` (or with too few) half of the reference set, at most N, stands in for
    them, against the rest of it; `floor_how` says which it was.

    Features are gathered batch by batch into `FeatureStats`, so that memory does not grow with N for the Fréchet
    distance, the inception score (but for the logits) and the kernel distance (d ≤ 128). Precision, recall,
    density and coverage, and the kernel distance of a network with d > 128, are of the first 10,000 images of each
    set in the order drawn with `seed`; memorisation is of the first 2,000. Each result's `n` tells.

    Args:
      images: The images measured, (N, 28, 28, 1) float32 on [−1, 1], N ≥ 2.
      reference_images: Real images, the same shape and range.
      feature_networks: From `feature_network`: anything with `describe()` that maps a batch of images to
        (features, logits or None). What was computed of the real images is kept for the next call where `describe()`
        gives the hash of its weights, and for pixels.
      seed: Of the order of the images and of what is drawn.
      reference: The reference set in words.
      floor_images: Real images that are not in the reference set.
      floor: Those in words.
      train_images: What the model was trained on; with them, and unless the network is 'inception', memorisation
        is measured, the reference images being the fresh ones; where they are reference images themselves, all of
        them or, in the same words, some, the floor images are.
      train: Those in words.
      splits: Of the inception score.
      k: Which neighbour precision, recall, density and coverage take.
      progress: Called with (what, images done, images in all).

    Returns:
      A list of `MetricResult`, network by network.

    Raises:
      CourseError: Images of a wrong shape or range, NaN, or too few.
    """
    x, real = _checked(images, "images"), _checked(reference_images, "reference_images")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    real_order = rng.permutation(len(real))
    spare = None if floor_images is None else _checked(floor_images, "floor_images")
    digest, spare_digest = _digest(real), ""
    if spare is not None and len(spare) >= len(x):
        spare_digest = _digest(spare)
        stand_in, held = (spare, spare_digest, np.sort(rng.choice(len(spare), len(x), replace=False))), 0
        how = f"{len(x):,} images of the {floor}, drawn with seed {seed}, against the {len(real):,} of the {reference}"
    else:
        stand_in, held = None, min(len(x), len(real) // 2)
        how = f"{held:,} images of the {reference}, drawn with seed {seed}, against its other {len(real) - held:,}"
    against_train = train_images is not None and (train_images is reference_images or train == reference)
    if train_images is not None:
        train_images = _checked(train_images, "train_images")
    results = []
    for network in feature_networks:

        def gather(images, order, what, network=network):
            return _gather(network, images, order, f"{what}, {network.describe()['name']}", progress)

        def metrics(a, b, network=network, **how):
            return _metrics(a, b, network, reference, splits, k, seed, **how)

        # Of two networks with one description and no hash nobody can say that they are the same.
        known = network.describe().get("sha256") or isinstance(network, PixelFeatures)

        def gather_real(images, digest, order, what, network=network, known=known):
            if not known:
                return gather(images, order, what)
            key = (str(network.describe()), digest, _digest(order))
            if key not in _REAL:
                if len(_REAL) >= 6:
                    _REAL.clear()
                _REAL[key] = gather(images, order, what)
            return _REAL[key]

        measured = gather(x, order, "images measured")
        rest = gather_real(real, digest, real_order[held:], "reference images")
        if stand_in is None:
            floor_set = gather(real, real_order[:held], "reference images, floor") if held >= 2 else None
            whole = rest if floor_set is None else rest.union(floor_set)
        else:
            floor_set, whole = gather_real(*stand_in, "real images, floor"), rest
        found = metrics(measured, whole)
        if floor_set is not None:
            key = (str(network.describe()), digest, spare_digest, how, splits, k)
            if key not in _FLOORS or not known:
                pairs = metrics(floor_set, rest, spread=False)
                _FLOORS[key] = {r.name: r.value for r in pairs}
            floors = _FLOORS[key]
            found = [r.with_floor(floors[r.name], how) if r.name in floors and r.floor is None else r for r in found]
        unseen = (floor_set if stand_in else None) if against_train else whole
        if train_images is not None and unseen is not None and not network.describe()["name"].startswith("inception"):
            what = f"training images, {network.describe()['name']}"
            trained_on = _gather_features(network, train_images, what, progress)
            samples, fresh = (side.features[:QUERIES] for side in (measured, unseen))
            found += memorisation_metrics(samples, trained_on, fresh, network=network, reference=train)
        results += found
    return results


# Of many runs measured in one process the real images, and so their features and the floor, are the same.
_FLOORS: dict[tuple, dict[str, float]] = {}
_REAL: dict[tuple, _Gathered] = {}


def _digest(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images)).hexdigest()


@dataclass
class _Gathered:
    """What is kept of a set of images in one feature network, and what is computed of this set alone, once."""

    parts: list[FeatureStats]
    logits: np.ndarray | None
    features: np.ndarray  # of the first ROWS images
    _radii: dict[int, np.ndarray] = field(default_factory=dict)

    def union(self, other: _Gathered) -> _Gathered:
        """The two sets as one."""
        logits = None if self.logits is None else np.concatenate([self.logits, other.logits])
        return _Gathered(self.parts + other.parts, logits, np.concatenate([self.features, other.features])[:ROWS])

    @cached_property
    def whole(self) -> list[FeatureStats]:
        """All parts as one: the same values without a spread, in less time."""
        return [merged(self.parts)]

    def radii(self, k: int) -> np.ndarray:
        """Of the balls of `precision_recall_density_coverage`."""
        if k not in self._radii:
            self._radii[k] = radii(self.features, k)
        return self._radii[k]


def _gather(network: Any, images: np.ndarray, order: np.ndarray, what: str, progress: Progress | None) -> _Gathered:
    """Features of images[order], in parts of (nearly) equal size, each of 2 images or more."""
    parts, logits, features, done = [], [], [], 0
    small = network.describe()["dim"] <= MAX_THIRD_MOMENTS_DIM
    for indices in np.array_split(order, max(1, min(PARTS, len(order) // 2))):
        found = []  # of the whole part: a network and sums in turns, batch by batch, keep each other waiting
        for batch in _batches(indices, network):
            found.append(_forward(network, images[batch]))
            done += len(batch)
            if progress:
                progress(what, done, len(order))
        of_part = np.concatenate([x for x, _ in found])
        parts.append(FeatureStats(third_moments=small).update(of_part))
        logits += [classes for _, classes in found if classes is not None]
        if sum(map(len, features)) < ROWS:
            features.append(of_part)
    return _Gathered(parts, np.concatenate(logits) if logits else None, np.concatenate(features)[:ROWS])


def _gather_features(network: Any, images: np.ndarray, what: str, progress: Progress | None) -> np.ndarray:
    if isinstance(network, PixelFeatures):
        return network.forward(images)[0]  # the images themselves: no second copy of 60,000
    rows = []
    for batch in _batches(np.arange(len(images)), network):
        rows.append(_forward(network, images[batch])[0])
        if progress:
            progress(what, int(batch[-1]) + 1, len(images))
    return np.concatenate(rows)


def _metrics(
    a: _Gathered, b: _Gathered, network: Any, reference: str, splits: int, k: int, seed: int, spread: bool = True
) -> list[MetricResult]:
    known = {"network": network, "reference": reference}
    parts_a, parts_b = (side.parts if spread else side.whole for side in (a, b))
    results = [frechet_distance(parts_a, parts_b, **known)]
    if parts_a[0].third_moments:
        results.append(kernel_distance(parts_a, parts_b, seed=seed, **known))
    else:
        parts = PARTS if len(parts_a) > 1 else 1
        results.append(kernel_distance(a.features, b.features, parts=parts, seed=seed, **known))
    if min(len(a.features), len(b.features)) > k:
        results += precision_recall_density_coverage(a.features, b.features, k, radii_b=b.radii(k), **known)
    if a.logits is not None:
        results.append(inception_score(a.logits, splits, seed, network=network))
        if a.logits.shape[1] == 10:
            results += class_metrics(a.logits, b.logits, **known)
    return results


def _forward(network: Any, batch: np.ndarray) -> tuple[Any, Any]:
    return getattr(network, "forward", network)(batch)


def _batches(indices: np.ndarray, network: Any) -> Iterator[np.ndarray]:
    size = getattr(network, "batch_size", _BATCH)
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _checked(images: Any, what: str) -> np.ndarray:
    x = check_images(images)
    if len(x) < 2:
        raise MetricError(f"{what}: a distribution needs at least 2 images, not {len(x)}")
    return x


def load_images(path: str | Path) -> np.ndarray:
    """Images of 28×28 from an .npz or a folder of PNGs, float32 (N, 28, 28, 1) on [−1, 1].

    An .npz holds them under `x`, `images` or `samples`, or as its only array: uint8 on [0, 255], or float on
    [−1, 1] or [0, 1] (told apart by whether any value is negative), of shape (N, 28, 28), (N, 28, 28, 1) or (N, 784).
    A rounding below 0 is let pass. uint8 of 0 and 1 alone, and floats on [−0.1, 1], are refused: either of two things.
    A folder's pictures are read in the order of their names (`pictures.load_folder`). Pickles are never loaded.

    Raises:
      DataError: Nothing there, no such array or more than one, a wrong shape, type or range, NaN.
    """
    path = Path(path)
    if path.is_dir():
        x = load_folder(path)
    elif path.suffix == ".npz" and path.is_file():
        x = _load_npz(path)
    else:
        raise DataError(f"{path}: no .npz file and no folder of PNGs")
    if x.ndim == 2 and x.shape[1] == 784:
        x = x.reshape(-1, 28, 28, 1)
    if x.ndim == 3:
        x = x[..., None]
    if x.shape[1:] != (28, 28, 1) or len(x) == 0:
        raise DataError(f"{path}: images of shape {x.shape}, where (N, 28, 28) is needed")
    if x.dtype == np.uint8:
        if x.max() == 1:
            raise DataError(
                f"{path}: uint8 of 0 and 1 alone, where 0 to 255 is needed: multiply black and white by 255"
            )
        return x.astype(np.float32) / np.float32(127.5) - 1
    if x.dtype.kind != "f":
        raise DataError(f"{path}: images of {x.dtype}, where uint8 or float is needed")
    if not np.isfinite(x).all():
        raise DataError(f"{path}: the images hold NaN or infinity")
    low, high = float(x.min()), float(x.max())
    if low < -1 - 1e-4 or high > 1 + 1e-4:
        raise DataError(f"{path}: values in [{low:g}, {high:g}], where uint8, [−1, 1] or [0, 1] is needed")
    x = x.astype(np.float32)
    rounded = -1e-4 <= low < 0.5 < high
    if (
        not rounded and -0.1 <= low < 0.5 < high
    ):  # a digit's background is −1, or 0: this is [0, 1] with an error that decides how it is read
        raise DataError(
            f"{path}: values in [{low:g}, {high:g}], neither [0, 1] nor [−1, 1]: np.clip(x, 0, 1) if [0, 1]"
        )
    return np.clip(2 * x - 1 if low >= 0 or rounded else x, -1, 1)


def _load_npz(path: Path) -> np.ndarray:
    def images(names):
        known = [name for name in ("x", "images", "samples") if name in names] or names
        if len(known) != 1:
            raise DataError(f"{path}: holds {', '.join(names) or 'nothing'}; name the images 'x'")
        return known

    try:
        (x,) = read_npz(path, images).values()
        return x
    except DataError:
        raise
    except NPZ_FAULTS as error:
        raise DataError(f"{path}: no readable .npz of plain arrays ({first_line(error)})") from None


def format_table(results: Sequence[MetricResult]) -> str:
    """The results as a plain-text table: metric, value, spread, real against real, N."""
    head = ("metric", "value", "±", "real vs real", "unit", "N", "against")
    rows = [
        (
            r.name,
            figure(r.value),
            "" if r.spread is None else figure(r.spread),
            "" if r.floor is None else figure(r.floor),
            r.unit or "",
            f"{r.n:,}",
            "" if r.n_reference is None else f"{r.n_reference:,} {r.reference or ''}".strip(),
        )
        for r in results
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    left = {0, 4, 6}
    lines = [
        "  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in [head, tuple("─" * w for w in widths), *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)
