"""Mistakes that a person can mend. The command line prints their one line and exits with `exit_code`."""


class CourseError(ValueError):
    """Base of the errors below; the message is one line and names the mend."""

    exit_code = 1


class DataError(CourseError):
    """The data file is missing, damaged or not MNIST."""

    exit_code = 3


class RunError(CourseError):
    """A run folder, record or checkpoint is missing, damaged, of another model, or cannot be written."""

    exit_code = 4


class InUseError(RunError):
    """Another process has the folder."""


class TrainingError(CourseError):
    """Training cannot start or cannot go on (a loss became NaN, the batch is larger than the data)."""

    exit_code = 5
