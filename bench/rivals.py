"""The training steps that ours are timed beside: as Keras' examples write one, and in PyTorch."""

from itertools import pairwise

import numpy as np

from ganvae_lib.paper import DECISIONS, TRAINING
from ganvae_lib.paper import VAE as VAE_SIZES

BATCH = DECISIONS.batch_size
STEPS = {"GAN": 3, "VAE": 50}  # steps a turn, enough to hide what starting `fit` takes


def data(steps):
    return np.random.default_rng(0).uniform(-1, 1, (steps * BATCH, *TRAINING.image_shape)).astype("float32")


def tutorial():
    """The GAN's step as Keras' own examples write it: two tapes, two forward passes, Keras' Adam and convolutions."""
    import tensorflow as tf

    from ganvae_lib import networks
    from ganvae_lib.quiet_keras import keras

    networks.TinyConv2D.LARGEST = 0

    class TutorialGAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = networks.generator(), networks.discriminator()
            self.built = True

        def compile(self, **options):
            super().compile(**options)
            adam = {"learning_rate": TRAINING.learning_rate, "beta_1": DECISIONS.gan_beta_1}
            self.d_optimizer, self.g_optimizer = keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam)
            self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

        def train_step(self, x):
            n = tf.shape(x)[0]
            fake = self.generator(tf.random.normal((n, 100)))
            images = tf.concat([fake, x], axis=0)
            labels = tf.concat([tf.zeros((n, 1)), tf.ones((n, 1))], axis=0)
            with tf.GradientTape() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(images))
            theta = self.discriminator.trainable_variables
            self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, theta), theta, strict=True))
            with tf.GradientTape() as tape:
                g_loss = self.loss_fn(tf.ones((n, 1)), self.discriminator(self.generator(tf.random.normal((n, 100)))))
            theta = self.generator.trainable_variables
            self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, theta), theta, strict=True))
            return {"d_loss": d_loss, "g_loss": g_loss}

    model, x = TutorialGAN(), data(STEPS["GAN"])
    model.compile(jit_compile="auto")
    return lambda: model.fit(x, batch_size=BATCH, epochs=1, verbose=0, shuffle=False)


def torch_adam(network, beta_1):
    import torch

    options = {"lr": TRAINING.learning_rate, "betas": (beta_1, DECISIONS.beta_2), "eps": DECISIONS.epsilon}
    return torch.optim.Adam(network.parameters(), fused=True, **options)


def torch_batches(steps):
    """A function that gives the batches of an epoch in a fresh order, out of one array, as `Batches` does."""
    import torch

    x = torch.from_numpy(data(steps).reshape(-1, 1, 28, 28))
    return lambda: (x[i].contiguous(memory_format=torch.channels_last) for i in torch.randperm(len(x)).split(BATCH))


def torch_gan(bfloat16=False):
    """The same step in eager PyTorch: fused Adam, channels-last, the fake batch shared as ours shares it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    slope = nn.LeakyReLU(0.2)
    generator = nn.Sequential(
        nn.Linear(100, 6272), slope, nn.Linear(6272, 12544), slope, nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 64, 5, 2, 2, 1), slope, nn.ConvTranspose2d(64, 1, 5, 2, 2, 1), nn.Tanh(),
    )  # fmt: skip
    sizes = (1, 64, 128, 256, 512)
    convolutions = [m for a, b in pairwise(sizes) for m in (nn.Conv2d(a, b, 5, 2, 2), slope)]
    discriminator = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(2048, 1))
    generator, discriminator = (m.to(memory_format=torch.channels_last) for m in (generator, discriminator))
    g_adam, d_adam = (torch_adam(m, DECISIONS.gan_beta_1) for m in (generator, discriminator))
    batches = torch_batches(STEPS["GAN"])

    def run():
        for x in batches():
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                fake = generator(torch.randn(BATCH, 100))
                d_adam.zero_grad(set_to_none=True)
                real_logits, fake_logits = discriminator(x), discriminator(fake.detach())
            (F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()).backward()
            d_adam.step()
            g_adam.zero_grad(set_to_none=True)
            discriminator.requires_grad_(False)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = discriminator(fake)
            F.softplus(-logits.float()).mean().backward()
            discriminator.requires_grad_(True)
            g_adam.step()

    return run


def torch_vae(bfloat16=False):
    """The report's VAE in eager PyTorch: the same layers, crop and loss, fused Adam, channels-last."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    slope, d = nn.LeakyReLU(0.2), VAE_SIZES.latent_dim
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1), slope, nn.Conv2d(32, 64, 3, 2, 1), slope, nn.Flatten(),
        nn.Linear(3136, 512), slope, nn.Linear(512, 256), slope, nn.Linear(256, 2 * d),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(d, 256), slope, nn.Linear(256, 512), slope, nn.Unflatten(1, (8, 8, 8)),
        nn.ConvTranspose2d(8, 64, 3, 2, 1, 1), slope, nn.ConvTranspose2d(64, 1, 3, 2, 1, 1),
    )  # fmt: skip
    network = nn.ModuleList([encoder, decoder]).to(memory_format=torch.channels_last)
    adam, batches = torch_adam(network, DECISIONS.vae_beta_1), torch_batches(STEPS["VAE"])

    def run():
        for x in batches():
            adam.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                mu, log_var = encoder(x).float().chunk(2, dim=1)
                logits = decoder(mu + (log_var / 2).exp() * torch.randn(BATCH, d))[:, :, 2:-2, 2:-2]
            nll = F.binary_cross_entropy_with_logits(logits.float(), (x + 1) / 2, reduction="none").sum((1, 2, 3))
            kl = 0.5 * (mu**2 + log_var.exp() - log_var - 1).sum(1)
            (nll + kl).mean().backward()
            adam.step()

    return run
