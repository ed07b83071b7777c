"""Every number of the report, once, and every number that the report leaves open, with our choice.

Nothing else in the course restates one of these: code reads them from here, pages print them from here.
The report is S. Chaturvedula, *Machine Learning Project Final Report* (CAP6610); § names its sections.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class GANArchitecture:
    """§3.2.1. The generator maps z (100) to an image, the discriminator an image to one number."""

    latent_dim: int = 100
    generator_hidden: tuple[int, ...] = (7 * 7 * 128, 14 * 14 * 64)
    generator_filters: tuple[int, ...] = (64, 1)
    discriminator_filters: tuple[int, ...] = (64, 128, 256, 512)
    kernel_size: int = 5
    strides: int = 2
    slope: float = 0.2  # of LeakyReLU


@dataclass(frozen=True)
class VAEArchitecture:
    """§3.2.2. The encoder maps an image to a Gaussian over z (10), the decoder z to an image."""

    latent_dim: int = 10
    encoder_filters: tuple[int, ...] = (32, 64)
    encoder_hidden: tuple[int, ...] = (512, 256)
    decoder_hidden: tuple[int, ...] = (256, 512)
    decoder_filters: tuple[int, ...] = (64, 1)
    kernel_size: int = 3
    strides: int = 2
    slope: float = 0.2


@dataclass(frozen=True)
class Training:
    """§3.1 and §3.3. 'Each model was trained for 100 iterations': read as epochs, see Decisions."""

    n_train: int = 60_000
    n_test: int = 10_000
    image_shape: tuple[int, int, int] = (28, 28, 1)
    pixel_range: tuple[float, float] = (-1.0, 1.0)
    learning_rate: float = 2e-4
    epochs: int = 100
    checkpoint_every: int = 10
    figure_epochs: tuple[int, ...] = (10, 20, 50)  # figures 1 and 2
    n_sample_images: int = 25  # §3.6.1


@dataclass(frozen=True)
class Decisions:
    """What the report does not say and we fix. Reasons: the page 'Reading the report'."""

    # Divides the work into enough steps for Adam, and is DCGAN's batch size (Radford et al. 2015).
    batch_size: int = 128
    # DCGAN's value, which the report cites; with 0.9 the discriminator won within an epoch in a first probe.
    gan_beta_1: float = 0.5
    # Adam's published defaults (Kingma & Ba 2015).
    vae_beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    # Algorithm 1 with k = 1, as Goodfellow et al. (2014) ran it.
    d_steps: int = 1
    # 12,544 = 7 x 7 x 256, and 512 = 8 x 8 x 8: the shapes from which two doublings reach the image.
    generator_grid: int = 7
    decoder_grid: int = 8
    # Kept besides every tenth epoch: a model changes most at first.
    early_checkpoints: tuple[int, ...] = (1, 2, 5)
    # Enough that the Fréchet distance's bias in N is small beside the differences shown.
    n_evaluation_samples: int = 10_000


@dataclass(frozen=True)
class Results:
    """§3.6. The report gives no definition for any of them; 'comparable?' is the scoreboard's business."""

    gan_fid: float = 18.24
    vae_fid: float = 28.56
    gan_inception_score: float = 2.76
    vae_reconstruction_error: float = 0.092


GAN = GANArchitecture()
VAE = VAEArchitecture()
TRAINING = Training()
DECISIONS = Decisions()
RESULTS = Results()
