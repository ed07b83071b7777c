"""Files that are there whole or not at all: written under another name, synced, renamed."""

import os
from contextlib import contextmanager
from pathlib import Path

from .errors import RunError


@contextmanager
def whole(path, mend="make room or choose another folder"):
    """A path beside `path` to write to. It takes `path`'s place when the block ends well, and goes when it does not.

    Raises:
      RunError: the file could not be written. What stood at `path` before is untouched.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two writers do not share it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        raise RunError(f"{path} could not be written ({first_line(error)}): {mend}") from error
    finally:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)


def write_text(path, text):
    """Write a text file, UTF-8."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def first_line(error):
    """What an exception says, its first line alone."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
