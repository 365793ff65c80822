"""Random orientations: rotations they are, within the spread, and those of the golden images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import chisquare

from nbnumba.kernels.counting.random import seeded, uniform
from nbnumba.seeds import MISSET, uniform_deviates
from nbnumba.setup.mosaic import MOST_KEPT, mosaic_changes, mosaic_rotations, random_misset, uniform_misset_deg

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "seed"), [("misset_random_1", 12345), ("misset_random_2", 54321)])
def test_random_misset_is_the_golden_one(name: str, seed: int) -> None:
    with np.load(GOLDEN / f"{name}.npz") as golden:
        expected = json.loads(str(golden["figures"]))["misset_deg"]
    np.testing.assert_allclose(np.degrees(random_misset(seed, uniformly=False)), expected, atol=1e-6)


def turned(angles: tuple[float, float, float]) -> Rotation:
    """About the lab's x, then y, then z."""
    return Rotation.from_euler("xyz", angles)


def test_random_orientations_are_uniform() -> None:
    """Angle and axis of the rotation, and where it takes a vector, each against its distribution: χ² of 40 classes."""
    drawn = Rotation.concatenate([turned(random_misset(seed)) for seed in range(20_000)])
    vectors = drawn.as_rotvec()
    angle = np.linalg.norm(vectors, axis=1)
    axis = vectors / angle[:, np.newaxis]
    # A uniform rotation turns by up to ω with probability (ω − sin ω)/π; directions have uniform z and azimuth.
    shares = [(angle - np.sin(angle)) / np.pi]
    for direction in (axis, drawn.apply([0.0, 0.0, 1.0]), drawn.apply([1.0, 0.0, 0.0])):
        shares += [(direction[:, 2] + 1.0) / 2.0, np.arctan2(direction[:, 1], direction[:, 0]) / (2.0 * np.pi) % 1.0]
    for share in shares:
        counts, _ = np.histogram(share, bins=40, range=(0.0, 1.0))
        assert chisquare(counts).pvalue > 1e-4


def test_who_draws_three_deviates_gets_the_same_orientation() -> None:
    for seed in range(20):
        share, turn1, turn2 = uniform_deviates(seed, MISSET, 3).tolist()
        np.testing.assert_allclose(uniform_misset_deg(share, turn1, turn2), np.degrees(random_misset(seed)), rtol=1e-14)
    # Shoemake's quaternion (x, y, z, w) = (√½, 0, 0, √½) is a quarter turn about x; (0, 0, 0, 1) is none.
    np.testing.assert_allclose(uniform_misset_deg(0.5, 0.25, 0.0), (90.0, 0.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(uniform_misset_deg(1.0, 0.3, 0.0), (0.0, 0.0, 0.0), atol=1e-12)


def test_orientations_of_mode_c_are_not_uniform() -> None:
    """So that the test above can fail: a sixth of them turn by less than 30 degrees, where it should be one in 130."""
    angles = [turned(random_misset(seed, uniformly=False)).magnitude() for seed in range(1, 2001)]
    assert np.mean(np.degrees(angles) < 30.0) > 0.1


def test_a_seed_has_one_orientation_whatever_its_size() -> None:
    seeds = [0, 1, -1, 2**31, 2**63 - 1, 2**64 - 1]
    assert [random_misset(seed) for seed in seeds] == [random_misset(seed) for seed in seeds]
    assert len({random_misset(abs(seed)) for seed in seeds}) == len({abs(seed) for seed in seeds})


def test_domains_are_rotations_and_the_first_is_the_identity() -> None:
    rotations = mosaic_rotations(2.0, 50, 7)
    np.testing.assert_array_equal(rotations[0], np.identity(3))
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.identity(3), (50, 1, 1)), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, rtol=1e-14)


def test_rotations_are_the_callers_own_and_begin_alike_however_many() -> None:
    first = mosaic_rotations(2.0, 50, 7)
    expected = first.copy()
    first[:] = 0.0
    np.testing.assert_array_equal(mosaic_rotations(2.0, 50, 7), expected)
    np.testing.assert_array_equal(mosaic_rotations(2.0, 1, 7), expected[:1])
    np.testing.assert_array_equal(mosaic_rotations(2.0, MOST_KEPT + 1, 7)[:50], expected)


def test_domains_stay_within_the_spread_and_point_everywhere() -> None:
    vectors = Rotation.from_matrix(mosaic_rotations(0.8, 4000, 1)[1:]).as_rotvec(degrees=True)
    angles = np.linalg.norm(vectors, axis=1)
    assert 0.75 < angles.max() <= 0.8 * (1 + 1e-6)
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=5 * 0.8 / np.sqrt(len(vectors)))


def test_axis_and_angle_come_from_three_deviates_each() -> None:
    spread = 3.0
    state = seeded(99)
    deviates = np.array([2.0 * float(uniform(state)) - 1.0 for _ in range(6)]).reshape(2, 3)
    azimuth, height, radius = deviates[1]
    width = np.sqrt(1 - height**2)
    axis = np.array([width * np.sin(np.pi * azimuth), width * np.cos(np.pi * azimuth), height])
    expected = Rotation.from_rotvec(axis * np.cbrt(1 - radius**2) * spread, degrees=True).as_matrix()
    np.testing.assert_allclose(mosaic_rotations(spread, 2, 99)[1], expected, atol=1e-7)


def test_no_spread_leaves_every_domain_alone() -> None:
    np.testing.assert_allclose(mosaic_rotations(0.0, 3, 5), np.tile(np.identity(3), (3, 1, 1)), atol=1e-15)


@pytest.mark.parametrize("domains", [1, 50])
def test_domains_turn_about_their_own_axes_as_the_spread_grows(domains: int) -> None:
    rotations, changes = mosaic_rotations(2.0, domains, 7), mosaic_changes(2.0, domains, 7)
    turning = changes @ rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(turning, -turning.swapaxes(-1, -2), atol=1e-15)
    # The turn that each has already, by a spread of two degrees.
    share = Rotation.from_matrix(rotations).as_rotvec() / np.radians(2.0)
    np.testing.assert_allclose(turning[:, [2, 0, 1], [1, 2, 0]], share, atol=1e-7)
    assert not changes[0].any()


def test_changes_of_domains_are_those_of_differences() -> None:
    """Angles are float32, so their steps must be long."""
    longer, shorter = mosaic_rotations(2.1, 50, 7), mosaic_rotations(1.9, 50, 7)
    np.testing.assert_allclose(mosaic_changes(2.0, 50, 7), (longer - shorter) / np.radians(0.2), atol=3e-6)
