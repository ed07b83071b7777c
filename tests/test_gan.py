"""Algorithm 1 as `GAN.step` runs it. These tests run on both backends (see test_jax.py)."""

import numpy as np
import pytest
from keras import ops

from ganvae_lib import GAN, losses, networks
from ganvae_lib.errors import CourseError
from ganvae_lib.training import adam, state_arrays

X = (np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)) / 127.5 - 1).astype("float32")


def small_gan(**options):
    generator = networks.generator(latent_dim=5, hidden=(12, 7 * 7 * 4), filters=(4, 1))
    return GAN(generator, networks.discriminator(filters=(4, 8)), **options)


def weights(network):
    return np.concatenate([np.ravel(ops.convert_to_numpy(w)) for w in network.weights])


def fit_one_batch(gan, x=X):
    return gan.fit(x, batch_size=len(x), epochs=1, verbose=0, shuffle=False).history


def test_the_discriminator_is_untouched_by_the_generators_step():
    gan = small_gan()
    gan.compile(d_optimizer=adam(learning_rate=0.0, name="d"), g_optimizer=adam(name="g"))
    before_d, before_g = weights(gan.discriminator), weights(gan.generator)
    fit_one_batch(gan)
    assert (weights(gan.discriminator) == before_d).all()
    assert (weights(gan.generator) != before_g).any()


def test_the_generator_is_untouched_by_the_discriminators_step():
    gan = small_gan()
    gan.compile(d_optimizer=adam(name="d"), g_optimizer=adam(learning_rate=0.0, name="g"))
    before_d, before_g = weights(gan.discriminator), weights(gan.generator)
    fit_one_batch(gan)
    assert (weights(gan.generator) == before_g).all()
    assert (weights(gan.discriminator) != before_d).any()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_k_discriminator_steps_to_one_of_the_generator(k):
    gan = small_gan(d_steps=k)
    gan.compile()
    fit_one_batch(gan)
    assert int(gan.d_optimizer.iterations) == k and int(gan.g_optimizer.iterations) == 1


def test_the_losses_are_those_of_the_same_noise_and_the_updated_discriminator():
    gan = small_gan(seed=3)
    gan.compile(g_optimizer=adam(learning_rate=0.0, name="g"))
    start = gan.discriminator.get_weights()
    fake = gan.generator(gan.noise(len(X), gan.latent_dim))
    gan.noise_seed.state.assign([3, 0])  # wind the noise back: the step shall draw the same z
    expected_d = losses.discriminator_loss(gan.discriminator(X), gan.discriminator(fake))
    history = fit_one_batch(gan)
    assert history["d_loss"][0] == pytest.approx(float(expected_d), rel=1e-5)
    # The generator's loss is taken on the same fake batch, by the discriminator after its update.
    expected_g = losses.non_saturating_loss(gan.discriminator(fake))
    assert history["g_loss"][0] == pytest.approx(float(expected_g), rel=1e-5)
    gan.discriminator.set_weights(start)
    assert history["g_loss"][0] != pytest.approx(float(losses.non_saturating_loss(gan.discriminator(fake))), rel=1e-5)


@pytest.mark.parametrize("share_fakes", [True, False])
def test_the_generators_step_sees_the_discriminators_fakes_or_fresh_ones(share_fakes):
    gan = small_gan(seed=3, d_steps=2, share_fakes=share_fakes)
    gan.compile(g_optimizer=adam(learning_rate=0.0, name="g"))
    n = len(X) // 2
    batches = [gan.generator(gan.noise(n, gan.latent_dim), training=True) for _ in range(3)]
    gan.noise_seed.state.assign([3, 0])  # wind the noise back: the step shall draw the same z
    history = fit_one_batch(gan)
    expected = [float(losses.non_saturating_loss(gan.discriminator(fake))) for fake in batches]
    # D has seen batches 0 and 1. The generator's step sees batch 1 again, or batch 2, which D has not seen.
    right, wrong = (1, 2) if share_fakes else (2, 1)
    assert history["g_loss"][0] == pytest.approx(expected[right], rel=1e-5)
    assert history["g_loss"][0] != pytest.approx(expected[wrong], rel=1e-4)
    draws = int(np.asarray(ops.convert_to_numpy(gan.noise_seed.state))[1])
    assert draws == (2 if share_fakes else 3)


def test_sharing_the_fakes_changes_the_generators_step_and_a_record_says_so():
    gans = [small_gan(seed=3, share_fakes=share) for share in (True, False)]
    for gan in gans:
        gan.compile()
        gan.set_weights(gans[0].get_weights())
    for gan in gans:
        fit_one_batch(gan)
    shared, fresh = gans
    assert (weights(shared.discriminator) == weights(fresh.discriminator)).all()
    assert (weights(shared.generator) != weights(fresh.generator)).any()
    options = {"loss": "minimax", "d_steps": 1, "real_label": 1.0}
    assert "fresh noise" in GAN.loss_in_words(options | {"share_fakes": False})
    assert "fresh noise" not in GAN.loss_in_words(options)  # an older record, from before one could ask
    assert "real label" not in GAN.loss_in_words(options)
    assert "real label 0.9" in GAN.loss_in_words(options | {"real_label": 0.9})


def test_noise_is_fresh_at_each_step_and_the_same_for_the_same_seed():
    first, second, other = small_gan(seed=1), small_gan(seed=1), small_gan(seed=2)
    a, b = (np.asarray(first.noise(4, 5)) for _ in range(2))
    assert (a != b).any()
    assert (np.asarray(second.noise(4, 5)) == a).all() and (np.asarray(other.noise(4, 5)) != a).any()


def test_two_runs_of_one_seed_are_identical():
    def run():
        import keras

        keras.utils.set_random_seed(0)
        gan = small_gan(seed=7)
        gan.compile()
        for _ in range(3):
            fit_one_batch(gan)
        return weights(gan)

    assert (run() == run()).all()


def test_learning_moves_both_losses_off_the_undecided_value():
    gan = small_gan()
    gan.compile()
    for _ in range(60):
        history = fit_one_batch(gan)
    assert history["d_loss"][0] < np.log(4) - 0.1


def test_minimax_and_non_saturating_differ_in_the_generators_loss_only():
    options = [small_gan(loss=name, seed=1) for name in ("minimax", "non-saturating")]
    for gan in options:
        gan.compile()
        gan.set_weights(options[0].get_weights())
    minimax, non_saturating = (fit_one_batch(gan) for gan in options)
    assert minimax["d_loss"] == pytest.approx(non_saturating["d_loss"])
    assert minimax["g_loss"][0] < 0 < non_saturating["g_loss"][0]


def test_bad_options_are_answered():
    with pytest.raises(CourseError, match="non-saturating, minimax"):
        small_gan(loss="cosine")
    with pytest.raises(CourseError, match="d_steps"):
        small_gan(d_steps=0)


def test_predict_gives_images():
    gan = small_gan()
    gan.compile()
    assert gan.predict(np.zeros((3, 5), "float32"), verbose=0).shape == (3, 28, 28, 1)


def test_features_are_matched_by_their_means():
    gan = small_gan(feature_matching=True, seed=3)
    gan.compile(d_optimizer=adam(0.0, name="d"), g_optimizer=adam(0.0, name="g"))
    fake = gan.generator(gan.noise(len(X), gan.latent_dim))
    gan.noise_seed.state.assign([3, 0])
    # The discriminator's last layer is linear: the difference of its mean logits is the features' times its weights.
    real, false = (np.asarray(gan.features(x)).mean(0) for x in (X, fake))
    w, _ = gan.discriminator.get_layer("discriminator_logit").get_weights()
    gap = np.asarray(gan.discriminator(X)).mean() - np.asarray(gan.discriminator(fake)).mean()
    assert gap == pytest.approx(float(((real - false) @ w)[0]), abs=1e-5)
    assert fit_one_batch(gan)["g_loss"][0] == pytest.approx(np.sum((real - false) ** 2), rel=1e-4)


def test_historical_averaging_pulls_each_player_to_the_mean_of_its_past():
    class Gradients:
        """An optimizer of known steps: it keeps the gradients and moves every weight by 1."""

        def __init__(self):
            self.iterations, self.seen = 0, []

        def apply(self, gradients, variables):
            self.seen.append([np.asarray(g) for g in gradients])
            for v in variables:
                v.assign(v + 1.0)
            self.iterations += 1

    gan = small_gan(historical=0.5)
    zeros = [0.0 * v for v in gan.generator.trainable_variables]
    optimizer = Gradients()
    for _ in range(3):
        gan.update("generator", optimizer, zeros)
    # θ_t = θ_0 + t, its mean over 0 … t is θ_0 + t/2: the gradient of ½ ‖θ − mean‖² is t/2.
    for t, gradients in enumerate(optimizer.seen):
        assert all(np.allclose(g, t / 2, atol=1e-5) for g in gradients)
    small_gan().update("generator", optimizer, zeros)
    assert all((g == 0).all() for g in optimizer.seen[-1])


def test_what_is_averaged_is_part_of_a_checkpoint():
    for gan in (small_gan(average=0.9), small_gan(historical=0.1)):
        gan.compile()
        assert len(state_arrays(gan)) == len(gan.state_variables())
