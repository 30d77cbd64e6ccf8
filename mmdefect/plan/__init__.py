"""Pools and a quota in, batches out, in NumPy. Begin with ``plan.py``."""
