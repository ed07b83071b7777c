"""Files that are there whole or not at all: written under another name, synced, renamed."""

import os
from pathlib import Path

from .errors import RunError


def write_text(path, text):
    """Write a small text file atomically; RunError where it cannot be written."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise RunError(
            f"{path} could not be written ({first_line(error)}): make room or choose another folder"
        ) from error


def first_line(error):
    """What an exception says, its first line alone."""
    """What an exception says, its first line alone."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
