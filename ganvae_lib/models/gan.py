"""The report's GAN and its Algorithm 1, as a `keras.Model` for `compile` and `fit`; losses and remedies by argument."""

from functools import partial
from typing import ClassVar

from .. import losses, networks
from ..errors import CourseError
from ..paper import DECISIONS, TRAINING
from ..quiet_keras import keras, ops
from ..training import StepModel, adam, rmsprop

PENALTIES = ("none", "r1", "gradient_penalty")
OPTIMIZERS = {"adam": adam, "rmsprop": rmsprop}
IN_WORDS = {
    "non-saturating": "binary cross-entropy, non-saturating generator",
    "minimax": "binary cross-entropy, minimax generator",
    "wasserstein": "difference of the critic's means",
    "hinge": "hinge",
}


class GAN(StepModel):
    """Generator against discriminator (§3.2.1, §3.5.1); by default the report's, exactly.

    Args:
      generator, discriminator: networks (`networks.generator()`, …); the latent size is the generator's input.
      loss: 'non-saturating', 'minimax', 'wasserstein' or 'hinge' (`losses.GAN_LOSSES`).
      d_steps: k_D of Algorithm 1, discriminator steps before each generator step; `fit`'s batch holds k_D minibatches.
      real_label: the discriminator's target for real images (below 1: one-sided label smoothing).
      penalty: on D's gradient in its input: 'r1' on real images, 'gradient_penalty' between real and fake ones.
      penalty_weight: γ of R1 (½ γ E‖∇D‖²), or λ of the gradient penalty (λ E(‖∇D‖ − 1)²).
      clip: c > 0 holds each weight of D in [−c, c] (Arjovsky et al. 2017).
      feature_matching: G's loss is ‖E f(x) − E f(G(z))‖², f the inputs of D's last layer (Salimans et al. 2016).
      historical: w > 0 adds w‖θ − mean of θ so far‖² to the loss of each player (Salimans et al. 2016).
      average: a in (0, 1) keeps an average of G's weights, a·average + (1 − a)·weights after each step, and its running
        statistics as they are; samples are drawn from it.
      share_fakes: the generator's step sees the last discriminator step's fakes, which saves a pass through G; False
        draws fresh noise for it. Sharing is biased in the order of D's rate, see `step`.
      seed: the noise of step t is a function of (seed, t).
    """

    loss_names = ("d_loss", "g_loss")
    parts: ClassVar = {"generator": networks.generator, "discriminator": networks.discriminator}

    def __init__(self, generator=None, discriminator=None, loss="non-saturating", d_steps=DECISIONS.d_steps,
                 real_label=1.0, penalty="none", penalty_weight=1.0, clip=0.0, average=0.0,
                 feature_matching=False, historical=0.0, share_fakes=True, seed=0, name="gan"):  # fmt: skip
        super().__init__(seed=seed, name=name)
        for option, value, choices in (("loss", loss, losses.GAN_LOSSES), ("penalty", penalty, PENALTIES)):
            if value not in choices:
                raise CourseError(f"{option} must be one of {', '.join(choices)}; got {value!r}")
        if d_steps < 1:
            raise CourseError(f"d_steps must be 1 or more; got {d_steps}")
        if real_label != 1.0 and loss not in ("non-saturating", "minimax"):
            raise CourseError(f"real_label is a target of the binary cross-entropy; the loss {loss!r} has none")
        if not 0.0 <= average < 1.0:
            raise CourseError(f"average must be in [0, 1), 0 for none; got {average}")
        for option, value in (("penalty_weight", penalty_weight), ("clip", clip), ("historical", historical)):
            if not 0.0 <= value < float("inf"):
                raise CourseError(f"{option} must be 0 or more; got {value}")
        self.generator = self.parts["generator"]() if generator is None else generator
        self.discriminator = self.parts["discriminator"]() if discriminator is None else discriminator
        self.latent_dim = self.generator.input_shape[-1]
        self.discriminator_loss, self.generator_loss = losses.GAN_LOSSES[loss]
        self.d_steps, self.real_label, self.clip, self.average = d_steps, real_label, clip, average
        self.penalty, self.penalty_weight, self.share_fakes = penalty, penalty_weight, share_fakes
        self.feature_matching, self.historical = feature_matching, historical
        if average:
            self.averaged = networks.copy(self.generator, "averaged")
        if feature_matching:
            logit = self.discriminator.get_layer("discriminator_logit")
            self.features = keras.Model(self.discriminator.inputs[0], logit.input, name="features")
        if historical:
            self.past = {player: networks.copy(getattr(self, player), "past") for player in self.parts}

    def compile(self, d_optimizer=None, g_optimizer=None, optimizer="adam", learning_rate=TRAINING.learning_rate,
                d_learning_rate=None, beta_1=DECISIONS.gan_beta_1, beta_2=DECISIONS.beta_2, **kwargs):  # fmt: skip
        """Both optimizers default to the report's Adam, 2e-4, with β₁ = 0.5; D's rate to G's."""
        if optimizer not in OPTIMIZERS:
            raise CourseError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        betas = {"beta_1": beta_1, "beta_2": beta_2} if optimizer == "adam" else {}
        make = OPTIMIZERS[optimizer]
        self.d_optimizer = d_optimizer or make(d_learning_rate or learning_rate, **betas, name=f"d_{optimizer}")
        self.g_optimizer = g_optimizer or make(learning_rate, **betas, name=f"g_{optimizer}")
        self.compile_players(
            {
                self.g_optimizer: self.generator.trainable_variables,
                self.d_optimizer: self.discriminator.trainable_variables,
            },
            **kwargs,
        )

    def draw(self, n):
        """What G makes n images of in a step: noise z (n, latent_dim)."""
        return self.noise(n, self.latent_dim)

    def step(self, x):
        """Algorithm 1, one round on real images x (k_D·B, 28, 28, 1): k_D discriminator steps, one generator step.

        With `share_fakes` the last discriminator step and the generator step see the same fake batch, whose forward
        pass is run once. Then D's step depends on the z that G's gradient averages over: a step of plain gradient
        descent of rate η on a batch of B adds a term of order η / B to the gradient's expectation (derived in the
        chapter on the report's GAN).
        """
        for x_real in ops.split(x, self.d_steps):
            fake, through_generator = self.fake_batch(ops.shape(x_real)[0])
            d_value = self.discriminator_step(x_real, fake)
        if not self.share_fakes:
            fake, through_generator = self.fake_batch(ops.shape(x_real)[0])

        # ∂L/∂θ_G = (∂x/∂θ_G)ᵀ ∂L/∂x: the loss's gradient in the fake images, pulled back through the generator.
        g_value, gradient = self.value_and_gradient(lambda images: self.generator_value(images, x_real), fake)
        self.update("generator", self.g_optimizer, through_generator(gradient))
        self.average_generator()
        return {"d_loss": d_value, "g_loss": g_value}

    def fake_batch(self, n):
        """Images of fresh noise, (n, 28, 28, 1), and what pulls a gradient in them back to G's weights."""
        z = self.draw(n)
        return self.vjp(lambda: self.generator(z, training=True), self.generator)

    def generator_value(self, fake, x_real):
        """G's loss on its images `fake`, a scalar; feature matching looks at real ones too."""
        if not self.feature_matching:
            return self.generator_loss(self.discriminator(fake, training=True))
        return losses.feature_matching_loss(*(self.features(x, training=True) for x in (x_real, fake)))

    def discriminator_step(self, x_real, fake):
        """One step of D on real and fake images, in two batches: batch normalisation must not mix them. → its loss."""
        critic = partial(self.discriminator, training=True)
        smoothing = {} if self.real_label == 1.0 else {"real_label": self.real_label}

        def d_loss():
            value = self.discriminator_loss(critic(x_real), critic(fake), **smoothing)
            if self.penalty == "r1":
                value += self.penalty_weight * losses.r1_penalty(self.input_gradient(critic, x_real))
            elif self.penalty == "gradient_penalty":
                alpha = ops.reshape(self.uniform(ops.shape(x_real)[0], 1), (-1, *[1] * (len(x_real.shape) - 1)))
                between = alpha * x_real + (1.0 - alpha) * fake
                value += self.penalty_weight * losses.lipschitz_penalty(self.input_gradient(critic, between))
            return value

        value, pull_back = self.vjp(d_loss, self.discriminator)
        self.update("discriminator", self.d_optimizer, pull_back(ops.ones_like(value)))
        if self.clip:
            for weight in self.discriminator.trainable_variables:
                weight.assign(ops.clip(weight, -self.clip, self.clip))
        return value

    def update(self, player, optimizer, gradients):
        """One optimizer step of a player; with historical averaging w‖θ − θ̄‖² belongs to its loss, θ̄ a constant."""
        network = getattr(self, player)
        if self.historical:
            t = ops.cast(optimizer.iterations + 1, "float32")
            past = [m for m, v in zip(self.past[player].variables, network.variables, strict=True) if v.trainable]
            for mean, v in zip(past, network.trainable_variables, strict=True):
                mean.assign(mean + (v - mean) / t)
            gradients = [
                g + 2.0 * self.historical * (v - mean)
                for g, v, mean in zip(gradients, network.trainable_variables, past, strict=True)
            ]
        optimizer.apply(gradients, network.trainable_variables)

    def average_generator(self):
        """The average of G's weights after a step; running statistics are taken over, being averages already."""
        if self.average:
            trained = {v.path for v in self.generator.trainable_variables}
            for mean, now in zip(self.averaged.variables, self.generator.variables, strict=True):
                a = self.average if now.path in trained else 0.0
                mean.assign(a * mean + (1.0 - a) * now)

    def decode(self, z):
        """Images G(z) of latent vectors z (N, latent_dim), of the averaged G where there is one."""
        return (self.averaged if self.average else self.generator)(z, training=False)

    def call(self, z, training=False):
        """Images G(z) for latent vectors z (N, latent_dim)."""
        return self.generator(z, training=True) if training else self.decode(z)

    def page_network(self):
        """The network that a page runs."""
        return self.averaged if self.average else self.generator

    @classmethod
    def loss_in_words(cls, options):
        """The losses, and what is added to them."""
        o = options
        words = f"{IN_WORDS[o['loss']]}, {o['d_steps']} discriminator step(s)"
        words += "" if o["real_label"] == 1.0 else f", real label {o['real_label']}"
        if o.get("penalty", "none") != "none":
            words += f", {o['penalty_weight']:g} {'R1' if o['penalty'] == 'r1' else 'gradient penalty'}"
        words += "" if o.get("share_fakes", True) else ", fresh noise for the generator's step"
        words += ", the generator matching features" if o.get("feature_matching") else ""
        words += f", {o['historical']:g} historical averaging" if o.get("historical") else ""
        words += f", weights clipped at {o['clip']:g}" if o.get("clip") else ""
        return words + (f", generator averaged by {o['average']:g}" if o.get("average") else "")
