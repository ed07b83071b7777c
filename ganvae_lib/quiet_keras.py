"""Imports Keras and its backend without start-up lines, which would stand on stderr in every notebook, and with oneDNN.

TensorFlow 2.20 and newer print some of the lines before any log level is read: the file descriptor is turned aside.
"""

import os
import sys
from contextlib import contextmanager


@contextmanager
def stderr_aside():
    """Send file descriptor 2 to nowhere for a moment; exceptions pass as ever."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's faster kernels. It turns them on by itself only where a processor has instructions made for neural
# networks (release notes of 2.9): not with AVX2 alone, where they halve a step of the report's GAN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
with stderr_aside():
    import keras
    from keras import layers, ops

__all__ = ["keras", "layers", "ops"]
