"""The exceptions that a user, not a programmer, is meant to read."""


class UserError(Exception):
    """Bad input. One message that names the file or field, what was found, what was expected
    and what to do. The command line prints it on one line and exits with status 2."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong type, or impossible."""


class DataError(UserError):
    """A dataset file is missing, unreadable, mismatched, mis-sized, empty or not what it claims."""


class NoSamples(DataError):
    """Every synthetic image was rejected: there is nothing to train a student on."""


class CheckpointError(UserError):
    """A weight file or a training checkpoint is damaged or belongs to another network."""


class TrainingError(UserError):
    """Training cannot go on: the loss is no longer a number."""


class WorkspaceError(UserError):
    """The workspace cannot be written, is full, or holds a damaged artifact."""
