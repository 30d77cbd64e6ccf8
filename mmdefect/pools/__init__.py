"""A dataset in, through any wrapper; named arrays of indices out."""
