"""A rotation series of lysozyme, as DIALS or XDS would get it from a beamline.

python examples/rotation_series.py [frames] [pixels]
"""

import sys
from importlib.resources import files

import nbnumba

WIDTH_DEG = 0.5


def series(frames: int, pixels: int) -> list[nbnumba.Experiment]:
    """One experiment a frame: each begins where the one before ends, with noise of its own."""
    first = nbnumba.Experiment(
        beam=nbnumba.Beam(wavelength_angstrom=0.9795, flux_per_s=1e12, size_mm=0.05, exposure_s=0.1, kahn_factor=0.998),
        detector=nbnumba.Detector(distance_mm=160, pixel_mm=0.172, fast_pixels=pixels, slow_pixels=pixels),
        crystal=nbnumba.Crystal(cells=(10, 10, 20), whole_size_mm=(0.05, 0.05, 0.05), misset_deg=(12, 34, 56)),
        structure_factors=nbnumba.StructureFactors(coordinate_file=str(files("nbnumba") / "data" / "1hel.pdb")),
        # In the middle of each step, so that who indexes the images finds the crystal where it is.
        scan=nbnumba.Scan(phi_deg=0, oscillation_deg=WIDTH_DEG, steps=10, phi_sampling="middle"),
        sampling=nbnumba.Sampling(oversample=3),
        noise=nbnumba.Noise(seed=1),
    )
    return nbnumba.rotation_series(first, frames)


def main(frames: int = 3, pixels: int = 512) -> None:
    """Render the frames and save each as a photon-counting detector would."""
    for number, image in enumerate(nbnumba.simulate_many(series(frames, pixels)), start=1):
        path = f"lysozyme_{number:05d}.img"
        noise = image.save_noise(path, adc_offset=0.0, header="dials")
        print(f"{path}: {noise.photons} photons")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
