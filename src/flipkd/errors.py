"""The errors flipkd raises on purpose: each names what is wrong, where, and the mend."""


class FlipkdError(Exception):
    """Something the user can mend: bad input, a missing file, a run that must not go on.

    The command line prints the message alone (no traceback) and exits with status 1.
    """
