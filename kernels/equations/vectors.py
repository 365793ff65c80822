"""Vectors of the laboratory as tuples of three floats, and their rotations."""

import math

from ..compile.equation import equation

Vector = tuple[float, float, float]


@equation
def dot(u, v):
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@equation
def cross(u, v):
    return (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])


@equation
def length(v):
    return math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


@equation
def scaled(v, factor):
    return (v[0] * factor, v[1] * factor, v[2] * factor)


@equation
def unit(v):
    """Direction of v; a zero vector stays zero."""
    size = math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    inverse = 1.0 / size if size > 0.0 else 0.0
    return (v[0] * inverse, v[1] * inverse, v[2] * inverse)


@equation
def rotated_about(v, axis, angle):
    """R(axis, angle) v: Rodrigues' formula, right-handed, about a unit axis through the origin."""
    sine = math.sin(angle)
    cosine = math.cos(angle)
    along = (axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2]) * (1.0 - cosine)
    return (
        axis[0] * along + v[0] * cosine + (axis[1] * v[2] - axis[2] * v[1]) * sine,
        axis[1] * along + v[1] * cosine + (axis[2] * v[0] - axis[0] * v[2]) * sine,
        axis[2] * along + v[2] * cosine + (axis[0] * v[1] - axis[1] * v[0]) * sine,
    )


@equation
def rotated_by(v, matrix):
    """U v for a 3×3 array U."""
    return (
        v[0] * matrix[0, 0] + v[1] * matrix[0, 1] + v[2] * matrix[0, 2],
        v[0] * matrix[1, 0] + v[1] * matrix[1, 1] + v[2] * matrix[1, 2],
        v[0] * matrix[2, 0] + v[1] * matrix[2, 1] + v[2] * matrix[2, 2],
    )


@equation
def rotated_xyz(v, rotx, roty, rotz):
    """Rotation about the lab's x, then y, then z, each right-handed."""
    x, y, z = v[0], v[1], v[2]
    y, z = y * math.cos(rotx) - z * math.sin(rotx), y * math.sin(rotx) + z * math.cos(rotx)
    x, z = x * math.cos(roty) + z * math.sin(roty), z * math.cos(roty) - x * math.sin(roty)
    x, y = x * math.cos(rotz) - y * math.sin(rotz), x * math.sin(rotz) + y * math.cos(rotz)
    return (x, y, z)
