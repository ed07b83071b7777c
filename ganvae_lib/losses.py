"""Losses as pure functions on logits and Gaussians, in `keras.ops`. Nats; sum over pixels, mean over the batch.

Each stands beside its equation; the chapters derive them. Images are in [−1, 1], logits are unbounded.
"""

import math

from .paper import TRAINING
from .quiet_keras import ops

PIXELS = math.prod(TRAINING.image_shape)


# --- GAN: binary cross-entropy (§3.3) with a = D(x) before the sigmoid: −log σ(a) = softplus(−a) ----------------------


def discriminator_loss(real_logits, fake_logits, real_label: float = 1.0):
    """−E[log D(x)] − E[log(1 − D(G(z)))], Goodfellow et al. (2014), eq. 1, negated. Logits (N, 1) → scalar.

    `real_label` < 1 is one-sided label smoothing (Salimans et al. 2016): the target for real images.
    """
    real = real_label * ops.softplus(-real_logits) + (1 - real_label) * ops.softplus(real_logits)
    return ops.mean(real) + ops.mean(ops.softplus(fake_logits))


def non_saturating_loss(fake_logits):
    """−E[log D(G(z))]: binary cross-entropy of the fakes against the label 'real'. Logits (N, 1) → scalar."""
    return ops.mean(ops.softplus(-fake_logits))


def minimax_loss(fake_logits):
    """E[log(1 − D(G(z)))]: the value function itself, which the generator minimises. Logits (N, 1) → scalar."""
    return -ops.mean(ops.softplus(fake_logits))


# --- GAN: critics, whose output is a number and no logit --------------------------------------------------------------


def wasserstein_critic_loss(real, fake):
    """−(E[D(x)] − E[D(G(z))]); over 1-Lipschitz D its minimum is −W₁. (N, 1), (N, 1) → scalar.

    Arjovsky et al. (2017).
    """
    return ops.mean(fake) - ops.mean(real)


def wasserstein_generator_loss(fake):
    """−E[D(G(z))] (Arjovsky et al. 2017). (N, 1) → scalar."""
    return -ops.mean(fake)


def hinge_discriminator_loss(real, fake):
    """E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))] (Lim & Ye 2017). (N, 1), (N, 1) → scalar."""
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


# The two players' losses by name, each a function of D's outputs: (real, fake) and (fake).
GAN_LOSSES = {
    "non-saturating": (discriminator_loss, non_saturating_loss),
    "minimax": (discriminator_loss, minimax_loss),
    "wasserstein": (wasserstein_critic_loss, wasserstein_generator_loss),
    "hinge": (hinge_discriminator_loss, wasserstein_generator_loss),
}


def feature_matching_loss(real, fake):
    """‖E f(x) − E f(G(z))‖², f what D's last layer sees (Salimans et al. 2016, §3.1). (N, d), (N, d) → scalar."""
    return ops.sum(ops.square(ops.mean(real, axis=0) - ops.mean(fake, axis=0)))


# --- GAN: penalties on D's gradient in its input (N, …) ---------------------------------------------------------------


def r1_penalty(gradient):
    """½ E‖∇ₓD(x)‖² on real x, to be weighed by γ (Mescheder et al. 2018, eq. 9). (N, …) → scalar."""
    return 0.5 * ops.mean(_squared_norm(gradient))


def lipschitz_penalty(gradient):
    """E(‖∇ₓD(x)‖ − 1)² on x between real and fake, to be weighed by λ (Gulrajani et al. 2017, eq. 3). (N, …) → scalar.

    The root of 0 has no gradient: 1e-12 stands inside it.
    """
    return ops.mean(ops.square(ops.sqrt(_squared_norm(gradient) + 1e-12) - 1.0))


def _squared_norm(x):
    return ops.sum(ops.square(x), axis=tuple(range(1, len(x.shape))))


# --- InfoGAN: L_I = H(c) + E log q(c|x) ≤ I(c; x) (Chen et al. 2016, eq. 5), image by image ---------------------------


def class_information(c, logits):
    """Of classes of equal chance: log K + log q(c|x), c one-hot (N, K), logits (N, K) of q. → (N,) nats, at most log K.

    Its mean is a lower bound on I(c; x), and equal to it where q(c|x) is the true posterior.
    """
    return math.log(logits.shape[-1]) + ops.sum(c * ops.log_softmax(logits, axis=-1), axis=-1)


def uniform_information(c, mu, log_var):
    """Of codes c uniform on [−1, 1]: Σ_j log 2 + log N(c_j; mu_j, e^log_var_j). (N, C) each → (N,) nats.

    H(c_j) = log 2. With σ = 1 held fixed it could not exceed log 2 − ½ log 2π = −0.23 nats a code; with σ learned it
    has no upper bound.
    """
    log_q = -0.5 * (math.log(2 * math.pi) + log_var + ops.square(c - mu) * ops.exp(-log_var))
    return ops.sum(math.log(2) + log_q, axis=-1)


# --- VAE -------------------------------------------------------------------------------------------------------------


def gaussian_kl(mu, log_var):
    """KL(N(mu, diag e^log_var) ‖ N(0, I)) = ½ Σ_j (mu_j² + e^log_var_j − 1 − log_var_j). (N, d) → (N,) nats.

    Kingma & Welling (2014), appendix B.
    """
    return 0.5 * ops.sum(ops.square(mu) + ops.exp(log_var) - 1.0 - log_var, axis=-1)


def bernoulli_nll(x, logits):
    """−log p(x|z) with each pixel a Bernoulli of mean σ(a), t = (x + 1)/2 ∈ [0, 1]: Σ softplus(a) − t·a. → (N,) nats.

    Binary cross-entropy, summed over pixels. For grey t it is no likelihood: its minimum is the entropy of t, not 0.
    """
    t = (x + 1.0) / 2.0
    return ops.sum(ops.softplus(logits) - t * logits, axis=(1, 2, 3))


def squared_error(x, x_hat):
    """Σ (x − x̂)² over pixels on [−1, 1]. → (N,).

    Equal to −log N(x; x̂, ½ I) up to the constant `GAUSSIAN_CONSTANT`, so it too is in nats.
    """
    return ops.sum(ops.square(x - x_hat), axis=(1, 2, 3))


GAUSSIAN_CONSTANT = 0.5 * PIXELS * math.log(math.pi)  # (D/2) log 2πσ² at σ² = ½


def negative_elbo(reconstruction, kl, beta: float = 1.0):
    """−ELBO = E[−log p(x|z)] + β·KL, mean over the batch. (N,), (N,) → scalar. At β = 1 it bounds −log p(x).

    β: Higgins et al. (2017).
    """
    return ops.mean(reconstruction + beta * kl)


def negative_importance_weighted_bound(log_weights):
    """−E[log 1/k Σ_i w_i], log w = log p(x|z) + log p(z) − log q(z|x) of k samples z ~ q. (N, k) → scalar, in nats.

    At k = 1 the −ELBO, of one sample; Burda, Grosse & Salakhutdinov (2016), eq. 8.
    """
    return math.log(log_weights.shape[1]) - ops.mean(ops.logsumexp(log_weights, axis=1))


def product_loss(reconstruction, kl):
    """The report's §3.3, read literally: 'the product of the reconstruction loss and the KL divergence'.

    Mean reconstruction × mean KL over the batch. Zero, its minimum, wherever the KL is: the code says nothing of x.
    """
    return ops.mean(reconstruction) * ops.mean(kl)
