"""A rotation series of lysozyme, as DIALS or XDS would get it from a beamline.

python examples/rotation_series.py [frames] [pixels]
"""

import sys
from importlib.resources import files

import nbnumba

WIDTH_DEG = 0.5


def series(frames: int, pixels: int) -> list[nbnumba.Experiment]:
    """One experiment a frame: only the starting angle differs."""
    still = nbnumba.Experiment(
        beam=nbnumba.Beam(wavelength_angstrom=0.9795, flux_per_s=1e12, size_mm=0.0005, kahn_factor=0.98),
        detector=nbnumba.Detector(distance_mm=160, pixel_mm=0.172, fast_pixels=pixels, slow_pixels=pixels),
        crystal=nbnumba.Crystal(cells=(10, 10, 20), misset_deg=(12.0, 34.0, 56.0)),
        structure_factors=nbnumba.StructureFactors(coordinate_file=str(files("nbnumba") / "data" / "1hel.pdb")),
        sampling=nbnumba.Sampling(oversample=3),
    )
    # In the middle of each step, so that who indexes the images finds the crystal where it is.
    scan = {"oscillation_deg": WIDTH_DEG, "steps": 10, "phi_sampling": "middle"}
    scans = [scan | {"phi_deg": WIDTH_DEG * n} for n in range(frames)]
    return [nbnumba.changed(still, scan=scan, noise={"seed": n + 1}) for n, scan in enumerate(scans)]


def main(frames: int = 3, pixels: int = 512) -> None:
    """Render the frames and save each as a photon-counting detector would."""
    for number, image in enumerate(nbnumba.simulate_many(series(frames, pixels)), start=1):
        path = f"lysozyme_{number:05d}.img"
        noise = image.save_noise(path, adc_offset=0.0, header="dials")
        print(f"{path}: {noise.photons} photons")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
