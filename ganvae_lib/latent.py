"""Moving about in latent space: walks, grids, codes of images, and directions that mean something.

Everything takes and gives NumPy arrays; a decoder is any function from latent vectors (N, d) to images (N, 28, 28, 1):
`vae.decode`, a GAN itself, or what a chapter makes of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .checks import real_numbers
from .errors import CourseError
from .metrics.moments import ink, slant, width

# --- walks -----------------------------------------------------------------------------------------------------------


def lerp(a, b, n: int) -> np.ndarray:
    """The straight line from a to b: (1 − t) a + t b at n values of t from 0 to 1. (d,), (d,) → (n, d)."""
    a, b = _vectors(a, b)
    t = np.linspace(0, 1, _at_least(n, 2, "steps of a walk"))[:, None]
    return ((1 - t) * a + t * b).astype("float32")


def slerp(a, b, n: int) -> np.ndarray:
    """The arc from a to b, its length going evenly from |a| to |b|. (d,), (d,) → (n, d).

        (sin((1 − t) ω) â + sin(t ω) b̂) / sin ω · ((1 − t) |a| + t |b|),    cos ω = â · b̂

    In many dimensions N(0, I) lives near a sphere of radius √d: the middle of a straight line between two draws is
    shorter than draws nearly ever are, the middle of the arc is not. Equal directions give the straight line; opposite
    ones have no shortest arc, and are an error.

    Source: Shoemake (1985), for vectors of length 1, and White (2016), arXiv:1609.04468. That the lengths go evenly too
    is ours.
    """
    a, b = _vectors(a, b)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) == 0:
        raise CourseError("an arc needs two vectors that are not 0")
    t = np.linspace(0, 1, _at_least(n, 2, "steps of a walk"))[:, None]
    a, b = a / lengths[0], b / lengths[1]
    # The angle from chords: arccos loses half its digits where the two directions are near each other.
    omega = 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))
    if np.pi - omega < 1e-6:
        raise CourseError("opposite vectors have no shortest arc: take another end, or a straight line")
    arc = (1 - t) * a + t * b if omega < 1e-6 else (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    return (arc * ((1 - t) * lengths[0] + t * lengths[1])).astype("float32")


def traversal(z, axis: int, values) -> np.ndarray:
    """The vector z again and again, its coordinate `axis` set to each of `values`. (d,) → (len(values), d)."""
    z, values = real_numbers(z, "z", LARGEST).astype("float32"), real_numbers(values, "values", LARGEST)
    if z.ndim != 1 or values.ndim != 1:
        raise CourseError(f"z (d,) and values (n,) are needed, not {z.shape} and {values.shape}")
    if not 0 <= axis < len(z):
        raise CourseError(f"axis must be between 0 and {len(z) - 1}; got {axis}")
    walk = np.repeat(z[None], len(values), axis=0)
    walk[:, axis] = values
    return walk


def plane(origin, right, up, n: int = 15, span: float = 2.0) -> np.ndarray:
    """An n × n grid of the plane origin + s·right + t·up, s and t from −span to span, row by row from the top.

    (d,), (d,), (d,) → (n·n, d): `plots.image_grid` of their images is a map of that plane.
    """
    origin, right = _vectors(origin, right)
    _, up = _vectors(origin, up)
    steps = np.linspace(-span, span, _at_least(n, 2, "steps of a grid"))
    t, s = np.meshgrid(steps[::-1], steps, indexing="ij")
    return (origin + s.reshape(-1, 1) * right + t.reshape(-1, 1) * up).astype("float32")


# --- codes of images -------------------------------------------------------------------------------------------------


def encode(vae, x, batch_size: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """The codes mu and log_var of q(z|x) for images x (N, 28, 28, 1), batch by batch. → (N, d), (N, d)."""
    from .training import batched

    return batched(vae.encode, x, batch_size=batch_size)


def image_decoder(model):
    """From z to images as one Keras model, which `invert` can differentiate: a GAN's generator, a VAE's decoder."""
    from .quiet_keras import keras, ops

    network = model.page_network()
    if model.page_scale is None:
        return network
    image = keras.layers.Activation(lambda logits: ops.tanh(model.page_scale * logits))
    return keras.Sequential([keras.Input((model.latent_dim,)), network, image])


@dataclass(frozen=True)
class Inversion:
    """What `invert` found: z (N, d), its error Σ (x − G(z))² (N,), and the errors of every restart (N, restarts)."""

    z: np.ndarray
    error: np.ndarray
    errors: np.ndarray


def invert(
    generator, x, *, steps: int = 300, restarts: int = 4, learning_rate: float = 0.05, prior_weight: float = 0.0,
    seed: int = 0, progress: Callable[[str, int, int], None] | None = None,
) -> Inversion:  # fmt: skip
    """The latent vectors whose images come nearest to x: what a GAN has in place of an encoder.

        minimise  Σ_pixels (x − G(z))² + ½ · prior_weight · |z|²    by Adam, from `restarts` draws of N(0, I)

    The problem is not convex: restarts end in different places, and the best of each image is kept. All images and
    restarts descend at once, none touching another.

    Args:
      generator: a Keras model from z (N, d) to images in [−1, 1].
      x: images (N, 28, 28, 1) in [−1, 1].
      steps: of Adam.
      restarts: starting points an image.
      learning_rate: of Adam, in units of z.
      prior_weight: 0 lets z go anywhere; 1 weighs it as −log N(z; 0, I) beside a pixel variance of ½.
      seed: of the starting points.
      progress: called with ('inversion', steps done, steps).

    Source: Creswell & Bharath (2019), arXiv:1802.05701.
    """
    from .quiet_keras import keras, ops
    from .training import compiled, value_and_gradient

    _at_least(steps, 1, "steps of Adam")
    _at_least(restarts, 1, "restarts")
    x = np.asarray(x, dtype="float32")
    d = generator.input_shape[-1]
    start = np.random.default_rng(seed).standard_normal((len(x), restarts, d)).astype("float32")
    targets = ops.convert_to_tensor(np.repeat(x, restarts, axis=0))
    z = keras.Variable(start.reshape(-1, d))
    adam = keras.optimizers.Adam(learning_rate)
    adam.build([z])

    def errors(z):
        return ops.sum(ops.square(targets - generator(z)), axis=(1, 2, 3))

    step = compiled(
        lambda z: value_and_gradient(lambda z: ops.sum(errors(z)) + prior_weight / 2 * ops.sum(ops.square(z)), z)
    )
    for done in range(1, steps + 1):
        adam.apply([step(z.value)[1]], [z])
        if progress:
            progress("inversion", done, steps)
    found, error = np.asarray(z.value).reshape(start.shape), np.asarray(errors(z.value)).reshape(len(x), restarts)
    best = error.argmin(axis=1)
    rows = np.arange(len(x))
    return Inversion(found[rows, best], error[rows, best], error)


# --- attributes, measured from pixels --------------------------------------------------------------------------------


def thickness(x) -> np.ndarray:
    """Stroke thickness in pixels of images (N, 28, 28, 1): 4 × the mean distance from ink to its edge. → (N,).

    Across a straight stroke of width w that distance rises evenly from 0 to w/2 and falls again: its mean is w/4.
    Images are enlarged fourfold and cut at half ink first; an image with no ink has thickness 0.
    """
    from scipy import ndimage

    found = []
    for image in ink(x):
        stroke = ndimage.zoom(image, 4, order=1, mode="grid-constant", grid_mode=True) > 0.5
        # In cells of ¼ pixel, from a cell's middle to that of the next cell outside: half a cell beyond the edge.
        inside = ndimage.distance_transform_edt(np.pad(stroke, 1))[1:-1, 1:-1][stroke] - 0.5
        found.append(inside.mean() if inside.size else 0.0)
    return np.array(found)


ATTRIBUTES: Mapping[str, Callable] = {"thickness": thickness, "slant": slant, "width": width}


# --- directions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Direction:
    """A hyperplane in latent space that parts images with more of an attribute from those with less.

    `normal` (d,) has length 1 and points to more; `accuracy` is the share of held-out codes on their right side, `n`
    how many codes were told apart. Of a direction made by `without` both are those of the one it was made from.
    """

    name: str
    normal: np.ndarray
    intercept: float
    accuracy: float
    n: int

    def walk(self, z, distances) -> np.ndarray:
        """The walk z + t · normal, t in `distances`. (d,) → (len(distances), d)."""
        return (np.asarray(z) + np.asarray(distances, dtype=float)[:, None] * self.normal).astype("float32")

    def without(self, *others: "Direction") -> "Direction":
        """The part of this direction that leaves the attributes of `others` alone: its projection off their normals.

        Source: Shen et al. (2020), §3.3, 'conditional manipulation'.
        """
        if not others:
            return self
        axes, lengths, _ = np.linalg.svd(np.stack([o.normal for o in others], axis=1), full_matrices=False)
        basis = axes[:, lengths > 1e-6 * lengths[0]]  # of normals that repeat each other one axis
        rest = self.normal - basis @ (basis.T @ self.normal)
        if np.linalg.norm(rest) < 1e-6:
            raise CourseError(f"nothing of '{self.name}' is left without {', '.join(o.name for o in others)}")
        name = f"{self.name} without {', '.join(o.name for o in others)}"
        return Direction(name, rest / np.linalg.norm(rest), 0.0, self.accuracy, self.n)


def direction(name: str, codes, values, *, seed: int = 0) -> Direction:
    """The direction of an attribute with `values` (N,) in latent `codes` (N, d), in the manner of InterFaceGAN.

    The upper and the lower third of the values are told apart by a linear support vector machine (scikit-learn),
    fitted to 70 % of them; its accuracy is that on the rest. The middle third says little and is left out. Where the
    thirds are equal, as of values 0 and 1, all codes are used, parted at the value that most have.

    Raises:
      CourseError: fewer than 30 codes, shapes that do not match, numbers that are not finite, values or codes that are
        all alike, or fewer than 5 codes on one side.

    Source: Shen et al. (2020), Interpreting the latent space of GANs, §3.2.
    """
    from sklearn.model_selection import train_test_split
    from sklearn.svm import LinearSVC

    # Of codes around 1e20, or 1e-300, the machine's solver never ends.
    codes, values = real_numbers(codes, "codes", 1e4), real_numbers(values, "values", LARGEST)
    if codes.ndim != 2 or codes.size == 0 or values.shape != codes.shape[:1] or len(codes) < 30:
        raise CourseError(f"codes (N, d) and values (N,) with N ≥ 30 are needed, not {codes.shape} and {values.shape}")
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    if low == high:
        kept, above = np.full(len(values), True), values > high
        labels = above if above.any() else values >= low
    else:
        kept = (values <= low) | (values >= high)
        labels = values[kept] >= high
    if labels.all():
        raise CourseError(f"the values of '{name}' are all alike: there is no direction to find")
    if min(few := (labels.sum(), (~labels).sum())) < 5:
        raise CourseError(f"of '{name}' {few[0]} codes have more and {few[1]} less: 5 on each side are needed")
    if np.abs(codes).max() < 1e-30:
        raise CourseError(f"the codes are all 0, or nearly so: they say nothing of '{name}'")
    fit_x, test_x, fit_y, test_y = train_test_split(
        codes[kept], labels, test_size=0.3, random_state=seed, stratify=labels
    )
    machine = LinearSVC(random_state=seed, dual=False).fit(fit_x, fit_y)
    length = np.linalg.norm(machine.coef_)
    if not 0 < length < np.inf:
        raise CourseError(f"the codes say nothing of '{name}', or are too large: there is no direction to find")
    return Direction(
        name, machine.coef_[0] / length, float(machine.intercept_[0] / length),
        float(machine.score(test_x, test_y)), int(kept.sum()),
    )  # fmt: skip


def effects(decode, z, directions, attributes: Mapping[str, Callable] = ATTRIBUTES, step: float = 1.0) -> np.ndarray:
    """What a step along each direction does to each attribute. → (directions, attributes).

    The mean change from −step to +step, each column in its attribute's own unit. A diagonal matrix means directions
    that are disentangled.

    Args:
      decode: latent vectors (N, d) → images.
      z: where to start from, (N, d).
      directions: each a `Direction` or a unit vector (d,).
      attributes: name → function of images.
      step: half the length of the step.
    """
    z = np.asarray(z, dtype=float)
    rows = []
    for one in directions:
        move = step * np.asarray(getattr(one, "normal", one), dtype=float)
        more, less = (np.asarray(decode((z + sign * move).astype("float32"))) for sign in (1, -1))
        rows.append([float(np.mean(measure(more) - measure(less))) for measure in attributes.values()])
    return np.array(rows)


LARGEST = 1e30  # of a coordinate: results are float32, and lengths are taken


def _vectors(a, b) -> tuple[np.ndarray, np.ndarray]:
    a, b = (real_numbers(v, "vectors", LARGEST) for v in (a, b))
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise CourseError(f"two vectors of the same length are needed, not {a.shape} and {b.shape}")
    return a, b


def _at_least(n: int, least: int, what: str) -> int:
    if n < least:
        raise CourseError(f"{what} must be {least} or more; got {n}")
    return n
