"""Master files: an NXmx that shows the frames of many files as one series, without their pixels in it.

Where a file is missing when a frame is read, HDF5 says nothing and gives a fill value, which is one that no count has.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.files import together
from ..formats.hdf5 import library, reading_hdf5, replacing_hdf5
from ..formats.nexus import field, group
from ..formats.nxmx_tree import OF_EACH_FRAME
from .campaign import Campaign
from .chunk_files import TEXTS, Told, joined, kinds_of, told_by
from .chunks import Chunk
from .tables import truth_table, write_manifest
from .verifying import Findings

MOST_FILES = 200
"""That a master shows: a reader has them all open, and the system lets it have some 256."""
PIXELS, AGAIN = "data/data", "instrument/detector/data"
"""Where an entry has pixels; the second is another name of the first."""
TRUTH = "nbnumba"
NOT_COPIED = {PIXELS, AGAIN, *OF_EACH_FRAME, f"{TRUTH}/frames", f"{TRUTH}/crystals", f"{TRUTH}/campaign/chunk"}


def make_masters(campaign: Campaign, findings: Findings, told: Callable[[], None] = lambda: None) -> list[Path]:
    """Make masters of all good files, and tables of truth and files: all at once, in place of older ones.

    Parameters
    ----------
    campaign : Campaign
    findings : Findings
        What is there.
    told : callable
        Called after each file.

    Returns
    -------
    list of path
        The masters.

    Raises
    ------
    InputFileError
        A file cannot be read.
    ResourceError
        A file cannot be written.

    Warns
    -----
    NbnumbaWarning
        There is no library for the table of the truth, which is left out.
    """
    lacking = sorted(chunk.number for chunk in (*findings.missing, *(chunk for chunk, _ in findings.bad)))
    masters: list[tuple[Path, int]] = []
    with together(), truth_table(campaign.folder / "truth.parquet") as truth:
        for number, (chunks, of_each) in enumerate(_alike(series_of(campaign, findings.good), told)):
            whole = joined(of_each)
            masters.append((master_path(campaign, number), whole.count))
            write_master(masters[-1][0], chunks, whole, lacking)
            if truth is not None:
                truth.add(whole, chunks)
    paths = [path for path, _ in masters]
    for path in campaign.folder.glob(f"{glob.escape(campaign.job.name)}_master_*.h5"):
        if path not in paths:
            path.unlink()
    write_manifest(campaign.folder / "manifest.csv", findings.good, masters)
    return paths


def series_of(campaign: Campaign, chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """Chunks by the master that will show them: one detector's setting, one crystal that turns, so many files.

    A rotation ends where a file of it is missing, since readers count its angles on from the first.
    """
    of_the_file = [one for one in campaign.job.varied if one.is_of_the_file]
    found: dict[Any, list[list[Chunk]]] = {}
    for chunk in chunks:
        experiment = campaign.frame(chunk.first) if of_the_file else None
        setting = [repr(getattr(getattr(experiment, one.noun), one.name)) for one in of_the_file]
        series = found.setdefault((chunk.sweep, chunk.crystal, *setting), [[]])
        last = series[-1]
        if len(last) == MOST_FILES or (chunk.sweep >= 0 and last and last[-1].stop != chunk.first):
            series.append([])
        series[-1].append(chunk)
    return list(chain(*found.values()))


def _alike(series: Sequence[list[Chunk]], told: Callable[[], None]) -> Iterator[tuple[list[Chunk], list[Told]]]:
    """Those of a series that tell of the same things, with what they tell: spectra may have other lengths in each."""
    for chunks in series:
        found: dict[str, tuple[list[Chunk], list[Told]]] = {}
        for chunk in chunks:
            one = told_by(chunk)
            of_kind = found.setdefault(repr(kinds_of(one)), ([], []))
            of_kind[0].append(chunk)
            of_kind[1].append(one)
            told()
        yield from found.values()


def master_path(campaign: Campaign, number: int) -> Path:
    """Where a master lies."""
    return campaign.folder / f"{campaign.job.name}_master_{number:03d}.h5"


def write_master(path: Path, chunks: Sequence[Chunk], told: Told, missing: Sequence[int]) -> None:
    """Make a master.

    Parameters
    ----------
    path : path
        In a folder above those of the files.
    chunks : sequence of Chunk
        Which it shows.
    told : Told
        What they tell, as one.
    missing : sequence of int
        Numbers of chunks that the campaign lacks, to be told in it.

    Raises
    ------
    InputFileError
        The first file cannot be read.
    ResourceError
        The master cannot be written.
    """
    what = "a file of a campaign"
    with reading_hdf5(chunks[0].path, what, is_known=True) as first, replacing_hdf5(path) as written:
        file, like = written.file, first["entry"]
        file.attrs.update(first.attrs)
        entry = file.create_group("entry")
        _copy(like, entry, "")
        for name, value in told.entry.items():
            entry.create_dataset(name, data=value).attrs.update(like[name].attrs)
        sources = [os.path.relpath(chunk.path, path.parent) for chunk in chunks]
        counts = [chunk.frames for chunk in chunks]
        entry[PIXELS] = _virtual(file, like[PIXELS], like[PIXELS].dtype, fill_of(like[PIXELS]), sources, counts)
        entry[AGAIN] = entry[PIXELS]
        _write_truth(entry[TRUTH], told, chunks, missing)
        if told.text_bytes:
            texts = like[f"{TRUTH}/frames/{TEXTS}"]
            kind = np.dtype(("S", told.text_bytes))
            entry[texts.name] = _virtual(file, texts, kind, b"", sources, counts)


def _copy(like: Any, made: Any, path: str) -> None:
    """All that is the same of all frames."""
    made.attrs.update(like.attrs)
    for name, item in like.items():
        inside = f"{path}{name}"
        if inside in NOT_COPIED:
            continue
        if hasattr(item, "items"):
            _copy(item, made.create_group(name), f"{inside}/")
        else:
            like.copy(item, made, name=name)


def fill_of(pixels: Any) -> Any:
    """What is read of a file that is not there: what marks in the others that nothing was measured."""
    return np.nan if pixels.dtype.kind == "f" else pixels.fillvalue


def _virtual(file: Any, like: Any, kind: Any, fill: Any, sources: Sequence[str], counts: Sequence[int]) -> Any:
    """A dataset that shows those of the same name in several files, one below the other."""
    h5py = library()
    layout, at = h5py.VirtualLayout((sum(counts), *like.shape[1:]), kind), 0
    for source, count in zip(sources, counts, strict=True):
        layout[at : at + count] = h5py.VirtualSource(source, like.name, (count, *like.shape[1:]))
        at += count
    return file.create_virtual_dataset(None, layout, fillvalue=fill)


def _write_truth(truth: Any, told: Told, chunks: Sequence[Chunk], missing: Sequence[int]) -> None:
    for name, columns in (("frames", told.frames), ("crystals", told.crystals)):
        if columns:
            table = group(truth, name, "NXcollection")
            for column, values in columns.items():
                field(table, column, values)
    field(truth["campaign"], "chunks", np.array([chunk.number for chunk in chunks], np.int64))
    field(truth["campaign"], "missing_chunks", np.array(missing, np.int64))
