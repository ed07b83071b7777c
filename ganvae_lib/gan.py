"""The report's GAN and its Algorithm 1, as a `keras.Model` for `compile` and `fit`."""

from . import losses, networks
from .errors import CourseError
from .paper import DECISIONS
from .quiet_keras import ops
from .training import StepModel, adam, value_and_gradient

GENERATOR_LOSSES = {"non-saturating": losses.non_saturating_loss, "minimax": losses.minimax_loss}


class GAN(StepModel):
    """Generator against discriminator (§3.2.1, §3.5.1); by default the report's, exactly.

    Args:
      generator, discriminator: networks (`networks.generator()`, …); the latent size is the generator's input.
      loss: the generator's, 'non-saturating' or 'minimax'.
      d_steps: k of Algorithm 1, discriminator steps before each generator step. `fit`'s batch holds k minibatches.
      real_label: the discriminator's target for real images (below 1: one-sided label smoothing).
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("d_loss", "g_loss")

    def __init__(self, generator=None, discriminator=None, loss="non-saturating", d_steps=DECISIONS.d_steps,
                 real_label=1.0, seed=0, name="gan"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        if loss not in GENERATOR_LOSSES:
            raise CourseError(f"loss must be one of {', '.join(GENERATOR_LOSSES)}; got {loss!r}")
        if d_steps < 1:
            raise CourseError(f"d_steps must be 1 or more; got {d_steps}")
        self.generator = networks.generator() if generator is None else generator
        self.discriminator = networks.discriminator() if discriminator is None else discriminator
        self.latent_dim = self.generator.input_shape[-1]
        self.generator_loss, self.d_steps, self.real_label = GENERATOR_LOSSES[loss], d_steps, real_label

    def compile(self, d_optimizer=None, g_optimizer=None, **kwargs):
        """Both default to the report's Adam, 2e-4, with β₁ = 0.5."""
        self.d_optimizer = d_optimizer or adam(beta_1=DECISIONS.gan_beta_1, name="d_adam")
        self.g_optimizer = g_optimizer or adam(beta_1=DECISIONS.gan_beta_1, name="g_adam")
        self.compile_players(
            {
                self.g_optimizer: self.generator.trainable_variables,
                self.d_optimizer: self.discriminator.trainable_variables,
            },
            **kwargs,
        )

    def step(self, x):
        """Algorithm 1, one round on real images x (k·m, 28, 28, 1): k discriminator steps, one generator step.

        The last discriminator step and the generator step see the same fake batch: its forward pass is run once.
        """
        for x_real in ops.split(x, self.d_steps):
            z = self.noise(ops.shape(x_real)[0], self.latent_dim)
            fake, through_generator = self.vjp(lambda z=z: self.generator(z, training=True), self.generator)

            def d_loss(x_real=x_real, fake=fake):
                real_logits = self.discriminator(x_real, training=True)
                return losses.discriminator_loss(real_logits, self.discriminator(fake, training=True), self.real_label)

            d_value = self.minimize(d_loss, self.discriminator, self.d_optimizer)

        # ∂L/∂θ_G = (∂x/∂θ_G)ᵀ ∂L/∂x: the loss's gradient in the fake images, pulled back through the generator.
        g_value, gradient = value_and_gradient(
            lambda images: self.generator_loss(self.discriminator(images, training=True)), fake
        )
        self.g_optimizer.apply(through_generator(gradient), self.generator.trainable_variables)
        return {"d_loss": d_value, "g_loss": g_value}

    def call(self, z, training=False):
        """Images G(z) for latent vectors z (N, latent_dim)."""
        return self.generator(z, training=training)
