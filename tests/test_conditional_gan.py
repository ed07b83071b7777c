"""BigGAN's tricks, each against what it claims. These tests run on both backends (see test_jax.py)."""

from collections import Counter

import keras
import numpy as np
import pytest
from keras import ops

from ganvae_lib import losses
from ganvae_lib.models import conditional_gan, model_class
from ganvae_lib.models.conditional_gan import ConditionalGAN, Modulation, orthogonality_gradient
from ganvae_lib.models.variations import VARIATIONS, configuration
from ganvae_lib.training import adam, assign_arrays, state_arrays

X = (np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)) / 127.5 - 1).astype("float32")
Y = np.array([3, 1, 4, 1, 5, 9, 2, 6], "uint8")
ONE_HOT = np.eye(10, dtype="float32")


def small(projection=True, skip=True, normalisation="spectral", **options):
    generator = conditional_gan.generator(latent_dim=3, channels=4, filters=4, embedding_dim=5, skip=skip)
    discriminator = conditional_gan.discriminator((4, 8), normalisation=normalisation, projection=projection)
    gan = ConditionalGAN(generator, discriminator, **options)
    gan.compile()
    return gan


def fit_one_batch(gan, steps=1):
    return gan.fit(X, Y, batch_size=len(X), epochs=steps, verbose=0, shuffle=False).history


def as_numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_sizes():
    generator, discriminator = conditional_gan.generator(), conditional_gan.discriminator()
    assert generator.count_params() == 95_361 <= 100_000
    trained = sum(int(np.prod(v.shape)) for v in discriminator.trainable_variables)
    assert trained == 259_073 + 10 * 2048  # the compact discriminator and the projection


def test_modulation_is_one_plus_gain_and_shift():
    layer, rng = Modulation(), np.random.default_rng(1)
    h, c = rng.standard_normal((2, 3, 3, 4)).astype("float32"), rng.standard_normal((2, 5)).astype("float32")
    found = as_numpy(layer([h, c]))
    gain, shift = (c @ as_numpy(w) for w in (layer.gain, layer.shift))
    np.testing.assert_allclose(found, h * (1 + gain[:, None, None]) + shift[:, None, None], rtol=1e-5, atol=1e-5)


def test_the_projection_adds_the_inner_product_of_features_and_class():
    discriminator = conditional_gan.discriminator((4, 8), normalisation="none")
    logit, projection = (discriminator.get_layer(f"discriminator_{n}") for n in ("logit", "projection"))
    features = as_numpy(keras.Model(discriminator.inputs, projection.input)([X, ONE_HOT[Y]]))
    w, b, v = as_numpy(logit.kernel), as_numpy(logit.bias), as_numpy(projection.kernel)
    expected = features @ w + b + np.sum(features * v.T[Y], axis=1, keepdims=True)
    np.testing.assert_allclose(as_numpy(discriminator([X, ONE_HOT[Y]])), expected, rtol=1e-4, atol=1e-5)


def test_without_projection_the_class_is_not_heard_of():
    for projection in (True, False):
        discriminator = conditional_gan.discriminator((4, 8), projection=projection)
        one, other = (as_numpy(discriminator([X, ONE_HOT[y]])) for y in (Y, (Y + 1) % 10))
        assert (one == other).all() != projection
        assert all(x._keras_history.operation._outbound_nodes for x in discriminator.inputs)  # Keras 3.13 asks for it


@pytest.mark.parametrize("skip", [True, False])
def test_z_reaches_the_later_layers_with_skip_alone(skip):
    generator = conditional_gan.generator(latent_dim=3, channels=4, filters=4, embedding_dim=5, skip=skip)
    generator.get_layer("generator_dense").kernel.assign(np.zeros((3, 7 * 7 * 4), "float32"))  # shut the front door
    z = np.random.default_rng(2).standard_normal((2, 3)).astype("float32")
    one, other = as_numpy(generator(np.concatenate([z, ONE_HOT[[7, 7]]], axis=1)))
    assert (np.abs(one - other).max() > 1e-3) == skip


def test_the_embedding_has_the_deviation_that_is_asked_for():
    for deviation in (1.0, 0.05):
        keras.utils.set_random_seed(0)
        generator = conditional_gan.generator(embedding_dim=400, embedding_deviation=deviation)
        assert as_numpy(generator.get_layer("generator_embedding").kernel).std() == pytest.approx(deviation, rel=0.05)


def test_the_gradient_of_orthogonality_is_that_of_its_formula():
    w = np.random.default_rng(3).standard_normal((4, 3))

    def value(w):
        return np.sum((w.T @ w * (1 - np.eye(3))) ** 2)

    numeric = np.zeros_like(w)
    for at in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[at] = 1e-5
        numeric[at] = (value(w + step) - value(w - step)) / 2e-5
    variable = keras.Variable(w.astype("float32"))
    np.testing.assert_allclose(as_numpy(orthogonality_gradient(variable)), numeric, rtol=1e-3, atol=1e-3)
    orthogonal = np.linalg.qr(w)[0].astype("float32")
    assert np.abs(as_numpy(orthogonality_gradient(keras.Variable(orthogonal)))).max() < 1e-5
    # A transposed convolution's filters lie along its third axis.
    kernel = keras.Variable(np.moveaxis(w.reshape(2, 2, 1, 3), -1, 2).astype("float32"))  # (2, 2, 3 filters, 1 channel)
    found = np.moveaxis(as_numpy(orthogonality_gradient(kernel)), 2, -1).reshape(4, 3)
    np.testing.assert_allclose(found, numeric, rtol=1e-3, atol=1e-3)
    assert not as_numpy(orthogonality_gradient(keras.Variable(np.ones(3)))).any()


def test_orthogonal_regularisation_is_added_to_the_generators_gradient():
    beta, moved = 0.5, []
    for orthogonal in (0.0, beta):
        keras.utils.set_random_seed(0)
        gan = small(orthogonal=orthogonal, average=0.0)
        gan.compile(g_optimizer=keras.optimizers.SGD(1.0, name="g"))
        before = [as_numpy(v) for v in gan.generator.trainable_variables]
        gan.step(ops.convert_to_tensor(X), ops.convert_to_tensor(Y))
        moved.append([as_numpy(v) - w for v, w in zip(gan.generator.trainable_variables, before, strict=True)])
    for without, with_it, w in zip(*moved, before, strict=True):
        expected = -beta * as_numpy(orthogonality_gradient(keras.Variable(w)))
        np.testing.assert_allclose(with_it - without, expected, rtol=1e-3, atol=1e-4)


def test_the_losses_are_the_hinge_of_pairs_and_two_batches_are_not_joined():
    """With batch normalisation in D, one joint batch of real and fake images would give another loss."""
    keras.utils.set_random_seed(0)
    gan = small(normalisation="batch", seed=4)
    gan.compile(g_optimizer=adam(learning_rate=0.0, name="g"))
    start = gan.discriminator.get_weights()
    zy = gan.draw(len(X))
    y_fake = zy[:, gan.latent_dim :]
    fake = gan.generator(zy, training=True)
    gan.noise_seed.state.assign([4, 0])
    apart = [as_numpy(gan.discriminator(pair, training=True)) for pair in ((X, ONE_HOT[Y]), (fake, y_fake))]
    joint = gan.discriminator(
        (np.concatenate([X, as_numpy(fake)]), np.concatenate([ONE_HOT[Y], as_numpy(y_fake)])), training=True
    )
    gan.discriminator.set_weights(start)
    value = fit_one_batch(gan)["d_loss"][0]
    assert value == pytest.approx(float(losses.hinge_discriminator_loss(*apart)), rel=1e-4)
    assert value != pytest.approx(float(losses.hinge_discriminator_loss(joint[:8], joint[8:])), rel=1e-3)


def test_the_average_follows_the_weights_and_takes_the_running_statistics():
    a = 0.9
    gan = small(average=a)
    expected, live = {}, {v.path: v for v in gan.generator.variables}
    trained = {v.path for v in gan.generator.trainable_variables}
    statistics = set(live) - trained
    assert len(statistics) == 4
    before = {path: as_numpy(v) for path, v in live.items()}
    for _ in range(3):
        fit_one_batch(gan)
        for path in trained:
            expected[path] = a * expected.get(path, before[path]) + (1 - a) * as_numpy(live[path])
    averaged = {v.path.removeprefix("averaged_"): as_numpy(v) for v in gan.averaged.variables}
    assert averaged.keys() == live.keys()
    for path in trained:
        np.testing.assert_allclose(averaged[path], expected[path], rtol=1e-5, atol=1e-6)
    for path in statistics:  # a copy of initial statistics would draw with mean 0 and variance 1
        np.testing.assert_array_equal(averaged[path], as_numpy(live[path]))
        assert np.abs(averaged[path] - before[path]).max() > 1e-4
    zy = gan.prior(4, np.random.default_rng(0))
    np.testing.assert_array_equal(as_numpy(gan.decode(zy)), as_numpy(gan.averaged(zy, training=False)))


def test_a_checkpoint_holds_everything_and_the_average_apart():
    gan = small()
    assert max(Counter(v.path for v in gan.state_variables()).values()) == 1
    everything = {id(v) for part in (gan.generator, gan.averaged, gan.discriminator) for v in part.variables}
    assert everything == {id(v) for v in gan.weights}
    fit_one_batch(gan, 2)
    other = small(seed=1)
    assign_arrays(other, state_arrays(gan, weights_only=True), "there", weights_only=True)
    zy = gan.prior(4, np.random.default_rng(0))
    np.testing.assert_array_equal(as_numpy(other.decode(zy)), as_numpy(gan.decode(zy)))


def test_resuming_is_bit_for_bit():
    one, other = small(seed=5), small(seed=5)
    assign_arrays(other, state_arrays(one), "there")
    fit_one_batch(one)
    assign_arrays(other, state_arrays(one), "there")
    for gan in (one, other):
        fit_one_batch(gan)
    now = state_arrays(other)
    assert all((array == now[path]).all() for path, array in state_arrays(one).items())


def test_priors_ask_for_every_class_and_decode_to_images():
    gan = small()
    zy = gan.prior(2_000, np.random.default_rng(0))
    z, y = zy[:, :3], zy[:, 3:]
    assert zy.dtype == np.float32 and (np.sort(y, axis=1) == np.eye(10)[-1][None].repeat(2_000, 0)).all()
    assert y.mean(axis=0) == pytest.approx(0.1, abs=0.03) and z.std() == pytest.approx(1, abs=0.05)
    images = as_numpy(gan.decode(zy[:5]))
    assert images.shape == (5, 28, 28, 1) and np.abs(images).max() <= 1
    drawn = as_numpy(gan.draw(2_000))[:, 3:]
    assert drawn.sum(axis=1) == pytest.approx(1) and drawn.mean(axis=0) == pytest.approx(0.1, abs=0.03)


def test_conditional_accuracy_is_the_share_of_classes_drawn_as_asked(monkeypatch):
    class Oracle:
        """Sees in an image the class that its top left pixel says."""

        def __call__(self, images):
            return None, np.eye(10)[np.round(np.asarray(images)[:, 0, 0, 0] * 10).astype(int)]

        def describe(self):
            return {"name": "mnist", "dim": 64, "sha256": None, "accuracy": None, "pixel_range": (-1.0, 1.0)}

    monkeypatch.setattr(conditional_gan, "feature_network", lambda name: Oracle())
    gan = small()

    def decode(zy):  # every class as asked, but for 7, drawn as 1
        y = zy[:, 3:].argmax(axis=1)
        return np.where(y == 7, 1, y)[:, None, None, None] / 10 * np.ones((1, 28, 28, 1))

    monkeypatch.setattr(gan, "decode", decode)
    x = np.full((4, 28, 28, 1), 0.3)
    (found,) = gan.measure(x, np.array([3, 3, 3, 1]), reference="four images")
    assert found.name == "MNIST-classifier conditional accuracy" and found.floor == 0.75
    assert found.extra["by class"] == [1.0] * 7 + [0.0] + [1.0] * 2
    assert found.value == pytest.approx(0.9, abs=0.02) and found.better == "higher"


def test_every_variation_differs_from_the_default_in_one_thing():
    default = configuration("conditional-gan", "default")
    for name in set(VARIATIONS["conditional-gan"]) - {"default"}:
        other = configuration("conditional-gan", name)
        assert sum(other[part][k] != v for part, a in default.items() for k, v in a.items()) == 1, name
    words = model_class("conditional-gan").loss_in_words
    assert words(default["model"]) == "hinge, 1 discriminator step(s), generator averaged by 0.999"
    assert "orthogonal regularisation 0.0001" in words(configuration("conditional-gan", "orthogonal")["model"])
