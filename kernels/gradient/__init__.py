"""Derivatives of photons: rows of sums beside the image, in the fast renderer's way through a pixel."""
