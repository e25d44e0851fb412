"""The one exception that a user's mistake raises."""


class MedlibError(Exception):
    """A mistake that the user can mend.

    The message says in one or two sentences what was expected, what came and what to do. The command line prints it
    without a traceback and exits with 2.
    """
