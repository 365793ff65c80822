"""Random orientations: rotations they are, within the spread, and those of the golden images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nbnumba.kernels.random import seeded, uniform
from nbnumba.mosaic import mosaic_rotations, random_misset

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "seed"), [("misset_random_1", 12345), ("misset_random_2", 54321)])
def test_random_misset_is_the_golden_one(name: str, seed: int) -> None:
    with np.load(GOLDEN / f"{name}.npz") as golden:
        expected = json.loads(str(golden["figures"]))["misset_deg"]
    np.testing.assert_allclose(np.degrees(random_misset(seed)), expected, atol=1e-6)


def test_domains_are_rotations_and_the_first_is_the_identity() -> None:
    rotations = mosaic_rotations(2.0, 50, 7)
    np.testing.assert_array_equal(rotations[0], np.identity(3))
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.identity(3), (50, 1, 1)), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, rtol=1e-14)


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
