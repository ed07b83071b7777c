"""The models: each a file of one screen, which answers for itself; and what they are held against.

`MODELS` names them without importing Keras: a record can be read, and checked, where Keras is not.
"""

from importlib import import_module

MODELS = {
    "gan": "gan.GAN",
    "vae": "vae.VAE",
    "conditional-vae": "conditional_vae.ConditionalVAE",
    "infogan": "infogan.InfoGAN",
    "bottleneck-gan": "bottleneck_gan.BottleneckGAN",
    "diffusion": "diffusion.Diffusion",
    "avb": "adversarial_vae.AVB",
    "discogan": "discogan.DiscoGAN",
    "conditional-gan": "conditional_gan.ConditionalGAN",
    "style-gan": "style_gan.StyleGAN",
}


def model_class(kind):
    """The class of the model of that name.

    Raises:
      CourseError: there is none; the message lists those there are.
    """
    from ..errors import CourseError

    if kind not in MODELS:
        raise CourseError(f"model must be one of {', '.join(MODELS)}; got {kind!r}")
    module, name = MODELS[kind].split(".")
    return getattr(import_module(f"{__name__}.{module}"), name)
