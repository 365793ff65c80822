"""CUDA cards as a backend."""

from .backend import BACKEND as BACKEND
