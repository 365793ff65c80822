"""Derivatives of an image with respect to an experiment's numbers.

``parameters.py``: which numbers there are, by name; ``tangents.py``: how a plan's variables move with them;
``model.py``: images, derivative images, products with them; ``target.py``: what an image is held against.
"""
