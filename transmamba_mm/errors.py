"""The one exception for what a user can mend."""


class UserError(ValueError):
    """A mistake in a config, a path, a checkpoint or the data; the message names cause and fix.

    The tools print it as one line and exit with code 1; it never needs a traceback.
    """
