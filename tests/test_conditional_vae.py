"""The conditional VAE: the digit reaches both networks, the loss is the bound. On both backends (see test_jax.py)."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from ganvae_lib import losses
from ganvae_lib.errors import CourseError
from ganvae_lib.models import conditional_vae, model_class
from ganvae_lib.models.conditional_vae import ConditionalVAE, one_hot
from ganvae_lib.training import Batches, assign_arrays, load_arrays, save_arrays, state_arrays

Y = np.arange(16) % 10
X = np.full((16, 28, 28, 1), -1, "float32")  # a bright bar whose place the digit says
for i, digit in enumerate(Y):
    X[i, :, 2 * digit : 2 * digit + 4] = 0.8


def small(seed=0, **options):
    keras.utils.set_random_seed(seed)
    encoder = conditional_vae.encoder(latent_dim=2, filters=(2, 2), hidden=(8,))
    decoder = conditional_vae.decoder(latent_dim=2, hidden=(16, 64), filters=(4, 1))
    model = ConditionalVAE(encoder, decoder, seed=seed, **options)
    model.compile(learning_rate=0.01)
    return model


def fit(model, epochs=1):
    return model.fit(Batches(X, 16, y=Y), epochs=epochs, verbose=0, shuffle=False).history


def test_the_loss_is_the_bound_given_the_digit_on_the_steps_own_noise():
    model = small(seed=5, beta=3.0)
    noise = model.noise(16, 2)
    model.noise_seed.state.assign([5, 0])  # wind back: the step shall draw the same noise
    order = Batches(X, 16).order
    x, y = X[order], one_hot(Y[order])
    mu, log_var = model.encoder((x, y))
    z = mu + ops.exp(0.5 * log_var) * noise
    term = losses.bernoulli_nll(x, model.decoder(ops.concatenate([z, y], axis=1)))
    kl = losses.gaussian_kl(mu, log_var)
    history = fit(model)
    assert history["loss"][0] == pytest.approx(float(ops.mean(term) + 3 * ops.mean(kl)), rel=1e-4)
    assert history["reconstruction"][0] == pytest.approx(float(ops.mean(term)), rel=1e-4)
    assert history["kl"][0] == pytest.approx(float(ops.mean(kl)), rel=1e-4)


def test_it_learns_what_the_digit_says_and_z_is_left_with_nothing():
    model = small(beta=20.0)
    many = Batches(np.tile(X, (10, 1, 1, 1)), 16, y=np.tile(Y, 10))
    history = model.fit(many, epochs=20, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.3 * history["loss"][0] and history["kl"][-1] < 0.1
    rng = np.random.default_rng(0)
    images = np.asarray(model.decode(model.ask(np.arange(10), rng)))
    where = images[..., 0].mean(axis=1).argmax(axis=1)  # brightest column
    assert ((where >= 2 * np.arange(10)) & (where < 2 * np.arange(10) + 4)).mean() >= 0.8
    # The bar's place is given: told another digit, the same z draws another bar.
    zy = model.ask(np.full(10, 3), rng)
    zy[:, 2:] = one_hot(np.full(10, 8))
    assert (np.asarray(model.decode(zy))[..., 0].mean(axis=1).argmax(axis=1) >= 14).all()


def test_the_digit_reaches_the_encoder():
    model = small()
    mu, _ = model.encoder((X, one_hot(Y)))
    other, _ = model.encoder((X, one_hot((Y + 1) % 10)))
    assert np.abs(np.asarray(mu) - np.asarray(other)).max() > 1e-3


def test_the_prior_is_a_normal_with_a_digit_behind_it_and_decodes_to_images():
    model = small()
    zy = model.prior(20_000, np.random.default_rng(0))
    assert zy.shape == (20_000, 12) and zy.dtype == np.float32 and model.latent_dim == 12
    np.testing.assert_allclose(zy[:, :2].std(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(zy[:, 2:].mean(axis=0), 0.1, atol=0.01)
    assert (zy[:, 2:].sum(axis=1) == 1).all() and set(np.unique(zy[:, 2:])) == {0, 1}
    images = np.asarray(model.decode(zy[:9]))
    assert images.shape == (9, 28, 28, 1) and np.abs(images).max() <= 1
    assert (model.ask([4, 7], np.random.default_rng(0))[:, 2:].argmax(axis=1) == [4, 7]).all()


def test_what_is_measured(monkeypatch):
    monkeypatch.setattr(conditional_vae, "MEASURED", 200)
    monkeypatch.setattr("ganvae_lib.models.likelihood.IW_SAMPLES", 5)
    model = small()
    found = {r.name: r for r in model.measure(X, Y, reference="bars")}
    given, alone = (found[f"importance-weighted bound on log p({what})"] for what in ("x|y", "x"))
    assert given.value - alone.value == pytest.approx(np.log(10))
    assert given.extra["elbo"] - alone.extra["elbo"] == pytest.approx(np.log(10))
    elbo = found["ELBO on log p(x|y)"]
    assert "ELBO" not in found and elbo.reference == "bars, the digit given"
    # The same bound by hand, through the mean of the posterior's samples: within a few nats of one sample's.
    mu, log_var = model.encoder((X, one_hot(Y)))
    term = losses.bernoulli_nll(X, model.pixel_logits(mu, one_hot(Y))) + losses.gaussian_kl(mu, log_var)
    assert elbo.value == pytest.approx(-float(ops.mean(term)), rel=0.02)
    wrong = model.measure(X, (Y + 5) % 10, reference="bars")
    accuracy = found["MNIST-classifier accuracy of the digit asked for"]
    assert accuracy.n == 200 and 0 <= accuracy.value <= 0.5 and len(accuracy.extra["by_class"]) == 10
    assert next(r.value for r in wrong if r.name == elbo.name) != elbo.value


def test_all_its_variables_are_published_and_a_step_is_taken_up_bit_for_bit(tmp_path):
    straight, killed, again = (small(seed=2) for _ in range(3))
    assert {id(v) for network in straight.networks().values() for v in network.weights} <= {
        id(v) for v in straight.weights
    }
    batches = Batches(X, 8, y=Y)
    straight.fit(batches, epochs=2, verbose=0, shuffle=False)
    killed.fit(batches, epochs=1, verbose=0, shuffle=False)
    save_arrays(tmp_path / "c.h5", state_arrays(killed), {})
    assign_arrays(again, load_arrays(tmp_path / "c.h5")[0], tmp_path / "c.h5")
    again.fit(batches, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(straight.get_weights(), again.get_weights(), strict=True):
        assert (a == b).all()


def test_it_is_trained_on_images_with_their_digits_and_known_by_name():
    data = SimpleNamespace(x_train=X, y_train=Y)
    assert ConditionalVAE.training_arrays(data)[1] is Y
    assert model_class("conditional-vae") is ConditionalVAE
    assert "digit" in ConditionalVAE.loss_in_words({"beta": 1.0})


def test_networks_of_two_latent_sizes_are_refused():
    with pytest.raises(CourseError, match="same latent_dim"):
        ConditionalVAE(conditional_vae.encoder(latent_dim=2), conditional_vae.decoder(latent_dim=3))
