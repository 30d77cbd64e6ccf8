"""What a user got wrong, in one line."""


class UnusableError(Exception):
    """Says why a config, a run or a file cannot be used: commands print it as it is."""
