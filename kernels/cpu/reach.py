"""Which reflections the samples of an image can meet: no others are read in its table of structure factors."""

import math
from typing import NamedTuple

import numpy as np

from ..choices import FLAT
from ..compile.jit import internal, maker
from ..equations.pixel import flat_position
from ..equations.vectors import Vector, cross, dot, length, scaled, unit


class Shell(NamedTuple):
    """The Ewald spheres of all sources about the first orientation's reciprocal lattice, and how thick they are."""

    a_star: Vector
    b_star: Vector
    c_star: Vector
    """Of the first orientation, 1/m."""
    incident: Vector
    """Direction of the first source."""
    smallest: float
    largest: float
    """Radius 1/λ of the smallest sphere and of the largest."""
    half: float
    """No sample is farther from its nearest reflection, 1/m."""
    turned: float
    """How far other orientations and directions move a sample, as a part of its distance from 0 0 0."""
    apart: float
    """The directions' share in it: how far that of a source may be from the first's."""
    reach: float
    """No sample is farther from 0 0 0, 1/m."""
    sides: tuple[Vector, Vector, Vector, Vector]
    """Inward unit normals of the pyramid whose base is the region of interest; 0 where it stands for no pyramid."""


@internal()
def region_corner(detector, number, depth):
    """One of the four corners of the region of interest, in order around it."""
    fast0, fast1, slow0, slow1 = detector.roi
    fast = fast0 if number == 0 or number == 3 else fast1 + 1
    slow = slow0 if number < 2 else slow1 + 1
    return flat_position(detector, detector.pixel * fast, detector.pixel * slow, depth)


@maker()
def farthest_scattering(plan):
    """|q| in 1/m that no sample exceeds, from the corner that scatters farthest."""
    detector, sources = plan.detector, plan.sources
    lowest = 1.0
    for n in range(sources.wavelength.shape[0]):
        incident = (sources.incident[n, 0], sources.incident[n, 1], sources.incident[n, 2])
        for corner in range(8):
            depth = detector.layer_step * detector.layers * (corner >> 2)
            lowest = min(lowest, dot(unit(region_corner(detector, corner & 3, depth)), incident))
    # The directions within less than a right angle of a source are a convex cone: corners in it, all pixels in it.
    opening = 2.0 - 2.0 * lowest if lowest > 0.0 and detector.surface == FLAT else 4.0
    return np.sqrt(opening) / sources.wavelength.min()


@maker()
def shell_of(plan, cells, reach):
    """The shell of an image, whose orientations are ``cells`` and whose samples are within ``reach``."""
    a, b, c = edges_of(cells, 0)
    inverse = 1.0 / dot(a, cross(b, c))
    stars = (scaled(cross(b, c), inverse), scaled(cross(c, a), inverse), scaled(cross(a, b), inverse))
    half = 0.0
    for corner in range(4):
        half = max(half, length(lattice_point(stars, 0.5, 0.5 - (corner & 1), 0.5 - (corner >> 1))))
    turned = 0.0
    for n in range(cells.shape[0]):
        turned = max(turned, distance_from_identity(stars, edges_of(cells, n)))
    incident, wavelength = plan.sources.incident, plan.sources.wavelength
    first, apart = (incident[0, 0], incident[0, 1], incident[0, 2]), 0.0
    for n in range(wavelength.shape[0]):
        here = (incident[n, 0] - first[0], incident[n, 1] - first[1], incident[n, 2] - first[2])
        apart = max(apart, length(here))
    return Shell(
        stars[0], stars[1], stars[2], first, 1.0 / wavelength.max(), 1.0 / wavelength.min(), half,
        turned + apart, apart, reach, sides_of(plan.detector),
    )  # fmt: skip


@internal()
def sides_of(detector):
    """Inward normals of the pyramid from the sample to the region of interest: of a flat surface without depth."""
    first, second, third, fourth = (
        region_corner(detector, 0, 0.0), region_corner(detector, 1, 0.0), region_corner(detector, 2, 0.0),
        region_corner(detector, 3, 0.0),
    )  # fmt: skip
    inside = (first[0] + third[0], first[1] + third[1], first[2] + third[2])
    known = detector.surface == FLAT and detector.layer_step == 0.0
    return (
        normal_towards(first, second, inside, known), normal_towards(second, third, inside, known),
        normal_towards(third, fourth, inside, known), normal_towards(fourth, first, inside, known),
    )  # fmt: skip


@internal()
def normal_towards(u, v, inside, known):
    """Unit normal of the plane of u and v on the side where ``inside`` lies; 0 where that is not ``known``."""
    normal = unit(cross(u, v))
    return scaled(normal, (1.0 if dot(normal, inside) > 0.0 else -1.0) if known else 0.0)


@internal()
def edges_of(cells, n):
    """a, b and c of an orientation."""
    return (
        (cells[n, 0], cells[n, 1], cells[n, 2]),
        (cells[n, 3], cells[n, 4], cells[n, 5]),
        (cells[n, 6], cells[n, 7], cells[n, 8]),
    )


@internal()
def lattice_point(stars, h, k, l):
    """h a* + k b* + l c*."""
    a, b, c = stars
    return (
        h * a[0] + k * b[0] + l * c[0],
        h * a[1] + k * b[1] + l * c[1],
        h * a[2] + k * b[2] + l * c[2],
    )


@internal()
def distance_from_identity(stars, edges):
    """A bound of |Rq − q| / |q|, R the turn of a lattice with these ``edges`` to that of ``stars``: Frobenius' norm."""
    total = 0.0
    for i in range(3):
        for j in range(3):
            turn = stars[0][i] * edges[0][j] + stars[1][i] * edges[1][j] + stars[2][i] * edges[2][j]
            total += (turn - (1.0 if i == j else 0.0)) ** 2
    return math.sqrt(total)


@internal()
def can_meet(shell, h, k, l):
    """Whether h k l may be the reflection nearest to some sample.

    A sample with a source of its own lies on |q + i/λ| = 1/λ. Moved with its orientation and direction to those of the
    shell, it is within ``half`` of h k l.
    """
    point = lattice_point((shell.a_star, shell.b_star, shell.c_star), h, k, l)
    distance = length(point) + shell.half
    # Moved by a part of where it was, it may come from farther than it is now.
    margin = 1.001 * (shell.half + distance * shell.turned / max(1.0 - shell.turned, 1e-9))
    return (
        length(point) <= shell.reach + margin
        and beyond_sphere(shell, point, shell.largest) <= margin
        and beyond_sphere(shell, point, shell.smallest) >= -margin
        and is_seen(shell, point, margin + shell.apart * shell.largest)
    )


@internal()
def is_seen(shell, point, margin):
    """Whether rays to the region of interest, q + i/λ, come within a margin of such a ray of a point."""
    for number in range(4):
        side = shell.sides[number]
        forward = dot(shell.incident, side)
        if dot(point, side) + max(shell.smallest * forward, shell.largest * forward) < -margin:
            return False
    return True


@internal()
def beyond_sphere(shell, point, radius):
    """How far a point lies outside the Ewald sphere of a radius, 1/m; the less, the larger the radius."""
    i = shell.incident
    return length((point[0] + radius * i[0], point[1] + radius * i[1], point[2] + radius * i[2])) - radius
