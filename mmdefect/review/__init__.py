"""A trained detector judged: the threshold, what escapes, what to do about it."""
