import numpy as np
import pytest
from sklearn.decomposition import PCA

from ganvae_lib.errors import CourseError
from ganvae_lib.models.baselines import BASELINES, Gaussian, IndependentPixels, PCAGaussian, TrainingData


@pytest.fixture(scope="module")
def smooth():
    """1,500 images of correlated pixels, far enough inside [−1, 1] that nothing is clipped; 84 pixels never move."""
    rng = np.random.default_rng(123)  # no seed that is sampled with: z would be these very numbers
    mixing = rng.standard_normal((20, 784)) / np.sqrt(20)
    mixing[:, :84] = 0
    scales = np.linspace(0.12, 0.02, 20)
    mean = rng.uniform(-0.3, 0.3, 784)
    return (mean + (rng.standard_normal((1500, 20)) * scales) @ mixing).reshape(-1, 28, 28, 1).astype("float32")


@pytest.mark.parametrize("name", BASELINES)
def test_samples_are_images_and_a_function_of_the_seed(name, smooth):
    model = BASELINES[name]()
    assert model.fit(smooth) is model
    x = model.sample(30, seed=3)
    assert x.shape == (30, 28, 28, 1) and x.dtype == np.float32
    assert np.abs(x).max() <= 1
    np.testing.assert_array_equal(x, model.sample(30, seed=3))
    assert np.abs(x - model.sample(30, seed=4)).max() > 0.01


def test_independent_pixels_have_the_marginals_and_nothing_else():
    rng = np.random.default_rng(1)
    greys = rng.choice([0, 100, 255], p=[0.5, 0.3, 0.2], size=(1000, 1)).repeat(784, axis=1)  # all pixels equal
    greys[:, 0], greys[:, 1] = 0, 255
    x = (greys / 127.5 - 1).astype("float32").reshape(-1, 28, 28, 1)
    model = IndependentPixels().fit(x)
    assert model.counts.sum(axis=1).tolist() == [1000] * 784
    drawn = np.rint((model.sample(4000, seed=0).reshape(4000, 784) + 1) * 127.5).astype(int)
    assert set(drawn[:, 0]) == {0} and set(drawn[:, 1]) == {255}
    assert set(drawn[:, 2:].ravel()) == {0, 100, 255}
    for level in (0, 100, 255):
        share = (greys[:, 2] == level).mean()
        assert abs((drawn[:, 2:] == level).mean() - share) < 0.002  # of 3 million draws
    # Equal in the data, the pixels are strangers in the samples: chance correlations of 4,000 draws reach ~0.08.
    correlation = np.corrcoef(drawn[:, 2:102], rowvar=False)
    assert np.abs(correlation - np.eye(100)).max() < 0.09


def test_gaussian_has_the_moments_of_the_data(smooth):
    model = Gaussian().fit(smooth)
    flat = smooth.reshape(1500, 784).astype("float64")
    np.testing.assert_allclose(model.mean, flat.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(model._root @ model._root, np.cov(flat, rowvar=False), atol=1e-12)
    x = model.sample(8_000, seed=0).reshape(8_000, 784).astype("float64")
    spread = flat.std(axis=0)
    assert np.all(np.abs(x.mean(axis=0) - model.mean) <= 5 * spread / np.sqrt(8_000) + 1e-7)
    np.testing.assert_allclose(x.std(axis=0)[84:], spread[84:], rtol=0.05)
    assert x[:, :84].std(axis=0).max() < 1e-7  # pixels that never move stay put: nothing was added to the diagonal
    error = np.linalg.norm(np.cov(x, rowvar=False) - model.covariance) / np.linalg.norm(model.covariance)
    assert error < 0.06


def test_gaussian_is_clipped():
    x = np.where(np.random.default_rng(0).random((200, 28, 28, 1)) < 0.9, -1, 1).astype("float32")
    samples = Gaussian().fit(x).sample(200, seed=0)
    assert samples.min() == -1 and samples.max() <= 1
    assert 0.25 < (samples == -1).mean() < 0.5  # mean −0.8, standard deviation 0.6: Φ(−1/3) = 0.37 lie below black


def test_pca_gaussian_against_scikit_learn(smooth):
    flat = smooth.reshape(1500, 784).astype("float64")
    reference = PCA(5, svd_solver="full").fit(flat)
    model = PCAGaussian(5).fit(smooth)
    np.testing.assert_allclose(model.variances, reference.explained_variance_, rtol=1e-5)
    assert model.explained == pytest.approx(reference.explained_variance_ratio_.sum(), rel=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(model.components * reference.components_, axis=1)), 1, atol=1e-6)
    assert np.all(model.components.max(axis=1) >= -model.components.min(axis=1))
    z = (model.sample(8_000, seed=0).reshape(8_000, 784) - model.mean) @ model.components.T
    np.testing.assert_allclose(z.var(axis=0), model.variances, rtol=0.08)
    singular = np.linalg.svd(model.sample(100).reshape(100, 784) - model.mean, compute_uv=False)
    assert singular[5] < 1e-5 * singular[0] < singular[4]  # five dimensions and no more


def test_training_data_come_once_before_any_comes_twice(smooth):
    model = TrainingData().fit(smooth[:50])

    def key(x):
        return x[:, 14, 14, 0]

    once = model.sample(50, seed=0)
    np.testing.assert_array_equal(np.sort(key(once)), np.sort(key(smooth[:50])))
    assert not np.array_equal(once, smooth[:50])
    assert len(set(key(model.sample(20, seed=0)).tolist())) == 20
    counts = np.unique(key(model.sample(120, seed=0)), return_counts=True)[1]
    assert sorted(counts.tolist()) == [2] * 30 + [3] * 20


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (lambda x: Gaussian().sample(3), "Gaussian has seen no images: call fit(x_train) first"),
        (lambda x: Gaussian().fit(x).sample(0), "n is 0: draw at least 1 image"),
        (lambda x: Gaussian().fit(x[:1]), "one image has no spread to learn: fit on two images or more"),
        (lambda x: PCAGaussian(0), "k is 0: keep between 1 and 784 components"),
        (lambda x: TrainingData().fit((x + 1) * 127.5), "divide by 127.5 and subtract 1"),
    ],
)
def test_mistakes_are_answered_in_one_line(act, line, smooth):
    with pytest.raises(CourseError) as raised:
        act(smooth)
    assert line in str(raised.value) and "\n" not in str(raised.value)


def test_parameters_are_the_numbers_learned(smooth):
    assert IndependentPixels().fit(smooth).parameters == 784 * 255
    gaussian = Gaussian().fit(smooth)
    assert gaussian.parameters == gaussian.mean.size + np.tril(gaussian.covariance).size // 2 + 392
    pca = PCAGaussian(7).fit(smooth)
    assert pca.parameters == pca.mean.size + pca.variances.size + pca.components.size
    assert TrainingData().fit(smooth).parameters == smooth.size
