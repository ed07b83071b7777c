"""A run: trained, kept, measured, compared."""

from .run import load_run, sample, save_images, train

__all__ = ["load_run", "sample", "save_images", "train"]
