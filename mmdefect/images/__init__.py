"""The instances of a loaded image, and the transforms that it goes through."""
