"""bench.anomaly: the rank formula, the scores with known answers, what is trained on, and going on where it stopped."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench import anomaly
from ganvae_lib.data import MNIST
from ganvae_lib.errors import InUseError, RunError
from ganvae_lib.files import locked
from ganvae_lib.models.baselines import PCAGaussian


def digits(n=400, seed=0):
    """Images whose every pixel is their label, (label − 4.5) / 4.5, beside a little noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 10
    x = (y / 4.5 - 1)[:, None, None, None] + 0.01 * rng.standard_normal((n, 28, 28, 1))
    x = np.clip(x, -1, 1).astype("float32")
    return MNIST(x, y, x[:100], y[:100], source="made up", sha256="0" * 64)


@pytest.mark.parametrize("decimals", [None, 0], ids=["no ties", "many ties"])
def test_auroc_is_the_share_of_pairs_and_scikit_learn_s(decimals):
    rng = np.random.default_rng(1)
    normal, anomalous = rng.normal(0, 1, 70), rng.normal(1, 2, 50)
    if decimals is not None:
        normal, anomalous = normal.round(decimals), anomalous.round(decimals)
    pairs = np.mean((anomalous[:, None] > normal) + 0.5 * (anomalous[:, None] == normal))
    library = roc_auc_score(np.repeat([0, 1], [70, 50]), np.concatenate([normal, anomalous]))
    assert np.allclose([pairs, library], anomaly.auroc(normal, anomalous), atol=1e-12)


def test_auroc_at_its_ends():
    assert anomaly.auroc([0, 1], [2]) == 1
    assert anomaly.auroc([2, 3], [1]) == 0
    assert anomaly.auroc([5, 5, 5], [5, 5]) == 0.5


def test_pca_and_nearest_image_score_what_they_know_as_zero():
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (60, 28, 28, 1)).astype("float32")
    pca = PCAGaussian(3).fit(x)
    inside = (pca.mean + rng.standard_normal((5, 3)) @ pca.components).reshape(5, 28, 28, 1)
    assert np.allclose(anomaly.pca_scores(x, inside, 3), 0, atol=1e-8)
    off = np.linalg.norm(anomaly.pca_scores(x, x, 3))
    assert off > 1
    assert np.allclose(anomaly.nearest_scores(x, x[:7]), 0, atol=1e-3)
    brute = ((x[None, :50] - x[50:, None]) ** 2).sum(axis=(2, 3, 4)).min(axis=1)
    assert np.allclose(anomaly.nearest_scores(x[:50], x[50:]), brute, rtol=1e-5)


def test_the_held_out_digit_is_never_trained_on(monkeypatch):
    trained = []

    def stop(kind, variation, x, *arguments):
        trained.append(x)
        raise InterruptedError

    monkeypatch.setattr(anomaly, "train", stop)
    with pytest.raises(InterruptedError):
        anomaly.one_digit(digits(), 9, 0, anomaly.Settings())
    labels = np.rint((trained[0].mean(axis=(1, 2, 3)) + 1) * 4.5).astype(int)
    assert set(labels) == set(range(9)) and len(labels) == 360


def test_run_goes_on_with_what_is_missing_and_refuses_other_settings(monkeypatch, tmp_path):
    asked = []

    def fake(mnist, digit, seed, settings, say):
        asked.append((seed, digit))
        return {"auroc": {name: 0.5 for name in anomaly.METHODS}, "CPU seconds": 0.0}

    monkeypatch.setattr(anomaly, "one_digit", fake)
    out = tmp_path / "anomaly" / "anomaly.json"
    anomaly.run(digits(), out, [0, 3], [0], say=lambda what: None)
    anomaly.run(digits(), out, [0, 3, 5], [0, 1], say=lambda what: None)
    assert asked == [(0, 0), (0, 3), (0, 5), (1, 0), (1, 3), (1, 5)]
    stored = json.loads(out.read_text(encoding="utf-8"))
    assert list(stored["results"]["seed 0"]) == ["0", "3", "5"] and stored["settings"]["n_train"] == 12_000
    with pytest.raises(RunError, match="other settings or other digits: delete it, or choose another --out"):
        anomaly.run(digits(), out, [0], [0], anomaly.Settings(n_train=10), say=lambda what: None)
    other = tmp_path / "other.json"
    monkeypatch.setattr("sys.argv", ["anomaly", "--digits", "7", "--out", str(other)])
    with locked(other, "measuring"), pytest.raises(InUseError, match="in use"):
        anomaly.main()
    assert (0, 7) not in asked
