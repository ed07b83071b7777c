"""Leave one digit out, train on the other nine, and ask each model for the tenth: AUROC by digit, method and seed.

`python -m bench.anomaly [--digits 0 1 …] [--seeds 0 …]` writes results/anomaly/anomaly.json after every digit; run
again, it goes on with what is missing. All ten digits take about ten minutes of one core. Training images come from
`load_mnist()`; scores are of its test images, the held-out digit's against the other nine's.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from ganvae_lib import losses
from ganvae_lib.data import MNIST, load_mnist
from ganvae_lib.errors import RunError
from ganvae_lib.files import locked, write_text
from ganvae_lib.latent import encode, invert
from ganvae_lib.models.baselines import PCAGaussian
from ganvae_lib.models.variations import build, configuration
from ganvae_lib.quiet_keras import keras
from ganvae_lib.runs.record import environment
from ganvae_lib.training import BACKEND, Batches, Shuffle, adam

OUT = Path(__file__).resolve().parents[1] / "results" / "anomaly" / "anomaly.json"
ALL = range(10)


@dataclass(frozen=True)
class Settings:
    """What the AUROCs depend on besides digit, seed and data."""

    vae: str = "narrow"
    vae_epochs: int = 5
    vae_learning_rate: float = 1e-3
    vae_draws: int = 4  # of z, for the ELBO of a test image
    gan: str = "compact"
    gan_epochs: int = 2
    batch_size: int = 64
    n_train: int = 12_000  # images of the nine digits, or as many as there are
    inverted_anomalies: int = 40
    inverted_normal: int = 60
    inversion_steps: int = 80
    inversion_restarts: int = 3
    inversion_learning_rate: float = 0.1
    pca_components: int = 10


# name in the record → how the page calls it
METHODS = {
    "vae_negative_elbo": "VAE: −ELBO",
    "vae_reconstruction": "VAE: reconstruction term",
    "vae_kl": "VAE: KL term",
    "vae_squared_error": "VAE: squared error",
    "vae_error_per_ink": "VAE: squared error over ink",
    "gan_logit": "GAN: −logit of the discriminator",
    "gan_inversion": "GAN: residual of the inversion",
    "pca_squared_error": "PCA: squared error",
    "nearest_image": "nearest training image",
    "ink": "ink alone",
}


def auroc(normal, anomalous) -> float:
    """P(score of an anomaly > score of a normal image) + ½ P(equal), from the ranks of all scores together.

    (R − n_a (n_a + 1)/2) / (n_a n_n) with R the sum of the anomalies' ranks, ties at their mean rank: the Mann–Whitney
    statistic as a share of all pairs.
    """
    normal, anomalous = np.asarray(normal, dtype=float), np.asarray(anomalous, dtype=float)
    n_n, n_a = len(normal), len(anomalous)
    ranks = rankdata(np.concatenate([normal, anomalous]))
    return float((ranks[n_n:].sum() - n_a * (n_a + 1) / 2) / (n_a * n_n))


def train(kind: str, variation: str, x, epochs: int, batch_size: int, seed: int, learning_rate: float | None = None):
    """A small model, trained on x from its initial weights of `seed`."""
    model = build(kind, configuration(kind, variation), seed)
    if learning_rate is not None:
        model.compile(adam(learning_rate))
    batches = Batches(x, batch_size, seed)
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0, callbacks=[Shuffle(batches)])
    return model


def vae_scores(vae, x, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Negative ELBO and its terms, mean over `draws` of z; squared error at z = mu, also over ink. (N,) each."""
    rng = np.random.default_rng(seed)
    mu, log_var = encode(vae, x)
    kl = np.asarray(losses.gaussian_kl(mu, log_var))
    reconstruction, squared = np.zeros(len(x)), np.zeros(len(x))
    for i in range(0, len(x), 500):
        part = slice(i, i + 500)
        for _ in range(draws):
            z = mu[part] + np.exp(log_var[part] / 2) * rng.standard_normal(mu[part].shape).astype("float32")
            reconstruction[part] += np.asarray(losses.bernoulli_nll(x[part], vae.pixel_logits(z))) / draws
        squared[part] = np.asarray(losses.squared_error(x[part], vae.decode(mu[part])))
    return {
        "vae_negative_elbo": reconstruction + kl,
        "vae_reconstruction": reconstruction,
        "vae_kl": kl,
        "vae_squared_error": squared,
        "vae_error_per_ink": squared / ink(x),
    }


def pca_scores(x_train, x, k: int) -> np.ndarray:
    """Squared distance of x from the plane of the first k principal components of x_train. (N,)."""
    pca = PCAGaussian(k).fit(x_train)
    centred = x.reshape(len(x), -1) - pca.mean
    return (centred**2).sum(axis=1) - ((centred @ pca.components.T) ** 2).sum(axis=1)


def nearest_scores(x_train, x) -> np.ndarray:
    """Squared distance of x to the nearest training image. (N,)."""
    a, b = x.reshape(len(x), -1), x_train.reshape(len(x_train), -1)
    squares = (b**2).sum(axis=1)
    parts = [(squares - 2 * a[i : i + 500] @ b.T).min(axis=1) for i in range(0, len(a), 500)]
    return np.concatenate(parts) + (a**2).sum(axis=1)


def ink(x) -> np.ndarray:
    """The summed ink (x + 1)/2 of each image. (N,)."""
    return ((x + 1) / 2).sum(axis=(1, 2, 3))


def one_digit(mnist: MNIST, digit: int, seed: int, settings: Settings, say=lambda what: None) -> dict:
    """Train on all digits but `digit`; AUROCs and what they cost. The model never sees the held-out digit."""
    began = time.process_time()
    kept = np.flatnonzero(mnist.y_train != digit)
    x_train = mnist.x_train[np.random.default_rng([seed, digit]).permutation(kept)[: settings.n_train]]
    x, anomalous = mnist.x_test, mnist.y_test == digit

    say("VAE")
    vae = train(
        "vae", settings.vae, x_train, settings.vae_epochs, settings.batch_size, seed, settings.vae_learning_rate
    )
    scores = vae_scores(vae, x, settings.vae_draws, seed)
    say("GAN")
    gan = train("gan", settings.gan, x_train, settings.gan_epochs, settings.batch_size, seed)
    logits = [np.asarray(gan.discriminator(x[i : i + 500]))[:, 0] for i in range(0, len(x), 500)]
    scores["gan_logit"] = -np.concatenate(logits)
    scores["pca_squared_error"] = pca_scores(x_train, x, settings.pca_components)
    scores["nearest_image"] = nearest_scores(x_train, x)
    scores["ink"] = ink(x)
    found = {name: auroc(score[~anomalous], score[anomalous]) for name, score in scores.items()}

    say("inversion")
    rng = np.random.default_rng([seed, digit, 1])
    few = [
        rng.permutation(np.flatnonzero(which))[:n]
        for which, n in ((~anomalous, settings.inverted_normal), (anomalous, settings.inverted_anomalies))
    ]
    error = invert(
        gan.generator, x[np.concatenate(few)], steps=settings.inversion_steps, restarts=settings.inversion_restarts,
        learning_rate=settings.inversion_learning_rate, seed=seed,
    ).error  # fmt: skip
    found["gan_inversion"] = auroc(error[: len(few[0])], error[len(few[0]) :])
    keras.backend.clear_session()
    return {
        "auroc": {name: round(found[name], 4) for name in METHODS},
        "n": {"train": len(x_train), "normal": int((~anomalous).sum()), "anomalous": int(anomalous.sum()),
              "inverted normal": len(few[0]), "inverted anomalous": len(few[1])},
        "correlation of reconstruction term and ink": round(
            float(np.corrcoef(scores["vae_reconstruction"], scores["ink"])[0, 1]), 4),
        "CPU seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def run(mnist: MNIST, out: Path, digits, seeds, settings: Settings = Settings(), say=print) -> dict:
    """Every digit and seed that `out` lacks; `out` is written after each.

    Raises:
      RunError: `out` holds results of other settings or other data.
    """
    head = {
        "settings": asdict(settings),
        "data": {"source": mnist.source, "sha256": mnist.sha256},
        "methods": METHODS,
        "environment": environment(BACKEND).model_dump(),
    }
    record = head | {"results": {}}
    if out.is_file():
        record = json.loads(out.read_text(encoding="utf-8"))
        if any(record.get(key) != head[key] for key in ("settings", "data", "methods")):
            raise RunError(f"{out} was made with other settings or other digits: delete it, or choose another --out")
    for seed in seeds:
        for digit in digits:
            done = record["results"].setdefault(f"seed {seed}", {})
            if str(digit) in done:
                continue
            done[str(digit)] = one_digit(
                mnist,
                digit,
                seed,
                settings,
                lambda what, at=(seed, digit): say(f"seed {at[0]}, without {at[1]}: {what}"),
            )
            write_text(out, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
            say(f"seed {seed}, without {digit}: {done[str(digit)]['auroc']}, {done[str(digit)]['CPU seconds']} s")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, nargs="+", default=list(ALL), choices=ALL)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    with locked(arguments.out, "measuring"):
        record = run(
            load_mnist(), arguments.out, arguments.digits, arguments.seeds, say=lambda what: print(what, flush=True)
        )
    print(f"\n{'AUROC':34s}" + "".join(f"{digit:>7}" for digit in ALL) + f"{'mean':>8}")
    for seed, results in record["results"].items():
        print(seed)
        for name, title in METHODS.items():
            row = {digit: result["auroc"][name] for digit, result in results.items()}
            cells = "".join(f"{row[str(digit)]:7.3f}" if str(digit) in row else f"{'–':>7}" for digit in ALL)
            print(f"  {title:32s}{cells}{np.mean(list(row.values())):8.3f}")


if __name__ == "__main__":
    main()
