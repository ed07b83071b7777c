"""Odd inputs to the functions of metrics, losses, latent and toy, odd command lines, changed bytes in files.

Each input gives the right answer, or one line that names a fault (`CourseError`). `make fuzz` tries 100,000; the tests
try 2,000. Input i of a seed is a function of (seed, i): `python tests/fuzz.py --seed 3 --only 1234` repeats one.
"""

import argparse
import itertools
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import fuzz_files
import numpy as np
from fuzz_files import ok

from ganvae_lib import latent, losses, metrics, toy
from ganvae_lib.errors import CourseError
from ganvae_lib.metrics import codes

# --- odd arrays ------------------------------------------------------------------------------------------------------

SCALES = (0.0, 1e-300, 1e-160, 1e-45, 1e-8, *[1.0] * 9, 30.0, 1e4, 1e20, 1e45, 1e150, 1e300)
DTYPES = ("float64", "float64", "float32", "float16", "int64", "int8", "uint8", "bool", "complex128", "longdouble")


def odd(rng, shape=None):
    """An array, or nested lists, of odd sizes and values; of the shape asked for in most cases."""
    if shape is None or rng.random() < 0.12:
        shape = tuple(rng.integers(0, 6, rng.integers(0, 4)))
    x = rng.standard_normal(shape) * rng.choice(SCALES)
    if rng.random() < 0.2 and x.size:
        x = x + rng.choice(SCALES)  # far from 0, all alike
    if rng.random() < 0.1 and x.ndim and len(x):
        x = np.repeat(x[:1], len(x), axis=0)
    if rng.random() < 0.15 and x.size:
        x.flat[rng.integers(x.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = x.astype(rng.choice(DTYPES)) if rng.random() < 0.3 else x
    return x.tolist() if rng.random() < 0.1 else x


def size(rng, least=1):
    return int(rng.integers(least, 12))


def results(found):
    """Metrics that came out are finite and can be written and read."""
    for m in [found] if isinstance(found, metrics.MetricResult) else found:
        ok(
            metrics.MetricResult.model_validate_json(m.model_dump_json()) == m,
            f"{m.name} is not read as it was written",
        )
    return found


def one(found, name):
    return next(m.value for m in found if m.name.endswith(name))


def wide(*arrays):
    """The arrays in float64, and whether they are of ordinary size."""
    arrays = [np.asarray(a).astype("float64") for a in arrays]
    top = max(np.abs(a).max(initial=0) for a in arrays)
    return (*arrays, bool(np.isfinite(top) and top < 1e6))


# --- metrics ---------------------------------------------------------------------------------------------------------


def frechet(rng, _):
    d = size(rng)
    a, b = odd(rng, (size(rng), d)), odd(rng, (size(rng), d))
    value = results(metrics.frechet_distance(a, b)).value
    a, b, tame = wide(a, b)
    if not tame:
        return ok(value >= 0, "negative")
    c, e = (np.atleast_2d(np.cov(x.T)) for x in (a, b))
    root = np.sqrt(np.maximum(np.linalg.eigvals(c @ e).real, 0)).sum()
    total = np.trace(c) + np.trace(e) + np.sum((a.mean(0) - b.mean(0)) ** 2)
    ok(abs(value - (total - 2 * root)) <= 1e-3 * total + 1e-12, f"{value} for {total - 2 * root}")


def kernel(rng, _):
    d = size(rng)
    a, b = odd(rng, (size(rng), d)), odd(rng, (size(rng), d))
    method = rng.choice(["moments", "pairs"])
    value = results(metrics.kernel_distance(a, b, method=str(method), parts=int(rng.integers(1, 5)))).value
    a, b, tame = wide(a, b)
    if tame:
        k = lambda x, y: (x @ y.T / a.shape[1] + 1) ** 3  # noqa: E731
        n, m = len(a), len(b)
        parts = (k(a, a).sum() - np.trace(k(a, a))) / (n * (n - 1)), (k(b, b).sum() - np.trace(k(b, b))) / (m * (m - 1))
        scale = max(np.abs(k(a, a)).max(), np.abs(k(b, b)).max())
        ok(abs(value - (sum(parts) - 2 * k(a, b).mean())) <= 1e-7 * scale, "not the mean over pairs")


def inception(rng, _):
    logits = odd(rng, (size(rng), size(rng)))
    value = results(metrics.inception_score(logits, splits=int(rng.integers(0, 4)))).value
    ok(1 - 1e-9 <= value <= np.asarray(logits).shape[1] + 1e-9, f"{value} is not between 1 and k")


def prdc(rng, _):
    d = size(rng)
    found = results(metrics.precision_recall_density_coverage(
        odd(rng, (size(rng), d)), odd(rng, (size(rng), d)), k=int(rng.integers(0, 6))
    ))  # fmt: skip
    ok(all(0 <= one(found, name) <= 1 for name in ("precision", "recall", "coverage")), "a share outside 0 … 1")


def memorisation(rng, _):
    d = size(rng)
    found = results(metrics.memorisation_metrics(*(odd(rng, (size(rng), d)) for _ in range(3))))
    ok(0 <= one(found, "authenticity") <= 1, "a share outside 0 … 1")


def neighbours(rng, _):
    d = size(rng)
    queries, base = odd(rng, (size(rng), d)), odd(rng, (int(rng.choice([5, 40])), d))
    _, distance = metrics.nearest_neighbours(queries, base, k=int(rng.integers(0, 4)))
    queries, base, tame = wide(queries, base)
    if tame:
        rows, other = queries.reshape(len(queries), -1), base.reshape(len(base), -1)
        real = np.sort(np.linalg.norm(rows[:, None] - other, axis=2), axis=1)[:, : distance.shape[1]]
        ok(np.allclose(distance, real, rtol=1e-9, atol=1e-150), "not the nearest")  # smaller squares vanish in `real`


def classes(rng, _):
    k = size(rng)
    logits = odd(rng, (size(rng), k))
    found = results(metrics.class_metrics(logits, odd(rng, (size(rng), k)) if rng.random() < 0.5 else None))
    ok(-1e-12 <= one(found, "class entropy") <= np.log(np.asarray(logits).shape[1]) + 1e-9, "entropy beyond log k")


def class_codes(rng, _):
    n = size(rng)
    code, digit = (odd(rng, (n,)) if rng.random() < 0.3 else rng.integers(-1, 11, n) for _ in range(2))
    found = results(codes.code_metrics(code, digit))
    ok(
        0 <= one(found, "purity of the code") <= 1 and one(found, "code and digit") >= -1e-12,
        "no share, or negative information",
    )


def correlation(rng, _):
    n = size(rng)
    found = results(codes.correlation_metric("x", odd(rng, (n, size(rng))), odd(rng, (n,))))
    ok(-1e-9 <= found.value <= 1 + 1e-9, f"a correlation of {found.value}")


def images(rng, shape=None):
    x = odd(rng, shape or (size(rng), 28, 28, 1))
    return np.clip(x, -1, 1) if rng.random() < 0.7 and np.asarray(x).dtype.kind == "f" else x


def reconstruction(rng, _):
    n = size(rng)
    shape, d = (n, 28, 28, 1), size(rng)
    x, x_hat = images(rng, shape), images(rng, shape)
    more = {"logits": odd(rng, shape)} if rng.random() < 0.5 else {}
    more |= {"mu": odd(rng, (n, d)), "log_var": odd(rng, (n, d))} if rng.random() < 0.5 else {}
    found = results(metrics.reconstruction_metrics(x, x_hat, **more))
    x, x_hat, _ = wide(x, x_hat)
    ok(abs(one(found, "MSE on [−1, 1]") - np.mean((x - x_hat) ** 2)) < 1e-6, "not the mean square")


def bound(rng, _):
    log_w = odd(rng, (size(rng), size(rng)))
    value = results(metrics.importance_weighted_bound(log_w)).value
    log_w, tame = wide(log_w)
    if tame:
        ok(abs(value - (np.logaddexp.reduce(log_w, axis=1) - np.log(log_w.shape[1])).mean()) < 1e-6, "not L_K")


def checked(rng, _):
    x = metrics.check_images(images(rng) if rng.random() < 0.9 else odd(rng))
    ok(x.dtype == np.float32 and x.shape[1:] == (28, 28, 1) and np.abs(x).max() <= 1 + 2e-4, "no images came out")


# --- losses, latent, toy ---------------------------------------------------------------------------------------------


def numbers(rng, shape, largest=1e4):
    """Finite float32 of any size up to `largest`: a loss is not asked to check them."""
    return (rng.standard_normal(shape) * rng.choice([0, 1e-30, 1e-3, 1, 10, largest / 5])).astype("float32")


def softplus(x):
    return np.logaddexp(0, x.astype("float64"))


def gan_losses(rng, _):
    real, fake = (numbers(rng, (size(rng), 1)) for _ in range(2))
    pairs = [
        (losses.discriminator_loss(real, fake), softplus(-real).mean() + softplus(fake).mean()),
        (losses.non_saturating_loss(fake), softplus(-fake).mean()),
        (losses.minimax_loss(fake), -softplus(fake).mean()),
        (losses.wasserstein_critic_loss(real, fake), fake.mean(dtype="float64") - real.mean(dtype="float64")),
    ]
    for i, (value, right) in enumerate(pairs):
        ok(np.allclose(float(value), right, rtol=1e-4, atol=1e-5 * (1 + np.abs(fake).max() + np.abs(real).max())),
           f"loss {i}: {float(value)} for {right}")  # fmt: skip


def vae_losses(rng, _):
    n, d = size(rng), size(rng)
    mu, log_var = numbers(rng, (n, d), 100), np.clip(numbers(rng, (n, d)), -60, 60)
    wanted = 0.5 * (mu.astype("float64") ** 2 + np.exp(log_var.astype("float64")) - 1 - log_var).sum(axis=1)
    ok(np.allclose(losses.gaussian_kl(mu, log_var), wanted, rtol=1e-4, atol=1e-4), "not the KL")
    x, logits = np.clip(numbers(rng, (n, 28, 28, 1)), -1, 1), numbers(rng, (n, 28, 28, 1))
    p = (x.astype("float64") + 1) / 2
    wanted = (softplus(logits) - p * logits).sum(axis=(1, 2, 3))
    ok(np.allclose(losses.bernoulli_nll(x, logits), wanted, rtol=1e-4, atol=1e-2), "not the cross-entropy")


def walks(rng, _):
    d, n = size(rng), int(rng.integers(-1, 6))
    a, b = odd(rng, (d,)), odd(rng, (d,))
    walk = getattr(latent, rng.choice(["lerp", "slerp"]))(a, b, n)
    a, b, tame = wide(a, b)
    if tame:
        atol = 1e-5 * (1 + np.abs(a).max(initial=0) + np.abs(b).max(initial=0))
        ok(np.allclose(walk[[0, -1]], [a, b], rtol=1e-4, atol=atol), "it does not begin in a and end in b")


def planes(rng, _):
    d = size(rng)
    grid = latent.plane(odd(rng, (d,)), odd(rng, (d,)), odd(rng, (d,)), n=int(rng.integers(-1, 6)))
    ok(grid.ndim == 2, "no grid")


def traversals(rng, _):
    values = odd(rng, (size(rng),))
    walk = latent.traversal(odd(rng, (size(rng),)), int(rng.integers(-2, 12)), values)
    ok(walk.shape[0] == len(np.asarray(values)), "not one row a value")


def directions(rng, _):
    n = int(rng.choice([5, 30, 40]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # liblinear says where it did not converge
        found = latent.direction("x", odd(rng, (n, size(rng))), odd(rng, (n,)))
    ok(abs(np.linalg.norm(found.normal) - 1) < 1e-6 and 0 <= found.accuracy <= 1, "no unit vector")


def divergences(rng, _):
    x = np.linspace(-20, 20, 401)
    if rng.random() < 0.5:
        more = (odd(rng, (2,)),) if rng.random() < 0.5 else ()
        p, q = (toy.Mixture(odd(rng, (2,)), odd(rng, (2,)), *more).pdf(x) for _ in range(2))
        ok(np.isfinite(p).all() and np.isfinite(q).all(), "no density")
    else:
        p, q = odd(rng, x.shape), odd(rng, x.shape)
        p, q = (np.abs(p), np.abs(q)) if rng.random() < 0.5 else (p, q)
    ok(toy.kl(p, q, x) > -np.inf, "no number")  # of no densities it may be negative
    ok(np.isfinite(toy.jsd(p, q, x)), "no number")
    ok(toy.total_variation(p, q, x) >= 0 and toy.wasserstein(p, q, x) >= 0, "negative, or no number")


def npz_file(rng, files):
    names = [str(rng.choice(["x", "images", "y", "samples"])) for _ in range(rng.integers(3))]
    fuzz_files.odd_npz(rng, files, {name: np.asarray(images(rng)) for name in names})


CASES = (
    frechet, kernel, inception, prdc, memorisation, neighbours, classes, class_codes, correlation, reconstruction,
    bound, checked, gan_losses, vae_losses, walks, planes, traversals, directions, divergences, npz_file,
    fuzz_files.record_file, fuzz_files.history_file, fuzz_files.samples_file, fuzz_files.mnist_file,
    fuzz_files.weights_file, fuzz_files.picture_file, fuzz_files.command_line,
)  # fmt: skip


def run(n, seed=0, only=None, seconds=None, show=5):
    """Try `n` inputs. → (Counter of (case, 'right' | 'refused' | 'RAW' | 'ms'), the first faults as text)."""
    counts, faults, started = Counter(), [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd numbers
        files = fuzz_files.Files(Path(folder))
        for i in [only] if only is not None else itertools.count():
            if (only is None and i >= n) or (seconds and time.monotonic() - started > seconds):
                break
            case, began = CASES[i % len(CASES)], time.monotonic()
            try:
                case(np.random.default_rng([seed, i]), files)
                verdict = "right"
            except CourseError as error:
                verdict = "refused" if str(error) and "\n" not in str(error) and "\r" not in str(error) else "RAW"
                told = f"more than one line: {str(error)!r}"
            except Exception:
                verdict, told = "RAW", "".join(traceback.format_exc(limit=-3).splitlines(keepends=True)[-8:])
            counts[case.__name__, verdict] += 1
            counts[case.__name__, "ms"] += 1000 * (time.monotonic() - began)
            if verdict == "RAW" and counts[case.__name__, "RAW"] <= show:
                faults.append(f"--seed {seed} --only {i} ({case.__name__}):\n{told}")
    return counts, faults


def main():
    """Print a line a case; exit 1 where an input gave neither a right answer nor one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this input alone")
    parser.add_argument("--seconds", type=float, help="stop after this time")
    args = parser.parse_args()
    counts, faults = run(args.n, args.seed, args.only, args.seconds)
    for case in CASES:
        told = [f"{v} {counts[case.__name__, v]:7,.0f}" for v in ("right", "refused", "RAW", "ms")]
        print(f"{case.__name__:15}", *told, sep="  ")
    print(f"{sum(n for (_, v), n in counts.items() if v != 'ms'):,} inputs", *faults, sep="\n\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
