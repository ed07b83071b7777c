"""Settings that every test run shares, chapters included."""

import os
from pathlib import Path

ROOT = Path(__file__).parent

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("MPLBACKEND", None)  # set by some shells; the chapters' kernels draw inline
# Kernels start in chapters/: they import this checkout's library, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_configure(config):
    """The cells of a chapter go to one process, in their order, whatever `-n 2` says."""
    if getattr(config.option, "dist", "no") == "load" and (config.option.nbval or config.option.nbval_lax):
        config.option.dist = "loadscope"


def pytest_collectstart(collector):
    """Tell nbval what may differ between machines: what goes to stderr, and tables drawn as HTML."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html")
