"""The text of -h and of the man page."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from ..errors import DIFFERS, RECORDED, STOPPED, exit_statuses
from .option import Option
from .table import OPTIONS

_DESCRIPTION = """\
Simulate X-ray diffraction images of a crystal on a pixel detector: the method, the options and the
files of nanoBragg. Options may have one or two dashes; of two options for one thing the later
one on the line counts."""

_EPILOG = f"""\
examples:
  a cube of 10 cells, every F the same:
    nbnumba -cell 70 80 90 -N 10 -default_F 100 -detpixels 512
  a crystal's own structure factors, orientation and mosaicity, and a picture:
    nbnumba -hkl P1.hkl -mat A.mat -lambda 0.9795 -N 20 -mosaic 0.3 -png image.png
  what a beamline counts of a crystal of 50 µm in water, one file for 100 images of a rotation:
    nbnumba -pdb model.pdb -misset random -N 15 -crystal_mm 0.05 -flux 1e12 -beamsize 0.05 \\
      -exposure 0.02 -detector eiger2-4m -distance 150 -background water 0.05 \\
      -osc 0.1 -phisteps 3 -images 100 -o run.nxs
  nanoBragg's own numbers, defects included:
    nbnumba -mode c -cell 70 80 90 -N 5 -default_F 100

other commands (each with -h):
  nbnumba demo        lysozyme as a beamline would see it, and a picture
  nbnumba campaign    many images of one description, on a laptop or a cluster
  nbnumba detectors   detectors that -detector knows by name
  nbnumba detect      what a detector reads of an image of photons
  nbnumba profile     the radial background of a measured image
  nbnumba refine      cell, orientation and more against a measured image
  nbnumba hkl         structure factors of any file as a list of h k l F, all of P 1
  nbnumba compare     two programs on one command line, or two images
  nbnumba fuzz        random command lines on which two programs disagree
  nbnumba devices     GPUs that can be used, and what is missing
  nbnumba golden      suites of golden images: record and check
  nbnumba trace       every intermediate value of single pixels
  nbnumba trace-diff  where two such traces begin to differ

{exit_statuses(DIFFERS, RECORDED, STOPPED)}
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """At most 100 columns; the values once, after the last alias."""

    def __init__(self, prog: str, **widths: Any) -> None:
        super().__init__(prog, max_help_position=30, **widths)
        self._width = min(self._width, 100)

    def _split_lines(self, text: str, width: int) -> list[str]:
        lines = super()._split_lines(text.replace("default: ", "default:\N{NO-BREAK SPACE}"), width)
        return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]

    def _format_action_invocation(self, action: argparse.Action) -> str:
        text = " ".join(filter(None, (", ".join(action.option_strings), str(action.metavar or ""))))
        indent, width = self._current_indent, self._width - self._current_indent
        if len(text) <= width:
            return text
        return textwrap.fill(text, width, subsequent_indent=(indent + 4) * " ", break_on_hyphens=False)


def parser() -> argparse.ArgumentParser:
    """The options as an argument parser that knows how to print them; :func:`parse` is what reads them."""
    shown = argparse.ArgumentParser(
        "nbnumba",
        usage="nbnumba [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_HelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    groups = {name: shown.add_argument_group(name) for name in dict.fromkeys(option.group for option in OPTIONS)}
    for option in OPTIONS:
        names = [f"-{name}" for name in option.names]
        text = help_text(option).replace("%", "%%")
        if option.values:
            groups[option.group].add_argument(*names, metavar=option.metavar, help=text)
        else:
            groups[option.group].add_argument(*names, action="store_true", help=text)
    return shown


def help_text(option: Option) -> str:
    """What the option does, its unit and its default."""
    facts = "; ".join(filter(None, (option.unit, f"default: {option.default}" if option.default else "")))
    return f"{option.help} [{facts}]" if facts else option.help
