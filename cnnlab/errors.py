"""The one exception that means: the input is wrong, here is what it held and what is allowed."""


class UserError(Exception):
    """Bad input. Stages print its message without a traceback and exit with status 2."""
