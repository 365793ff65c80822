"""An experiment's numbers from measured images.

``levenberg.py``: steps on normal equations; ``systems.py``, ``restraints.py``: what is known beforehand; ``stages.py``:
in which order; ``refine.py``: from a start to a :class:`Refinement`; ``measured.py``, ``background.py``: from
files to a target; ``names.py``: what is refined, in short; ``report.py``, ``picture.py``: what came of it.
``many.py``: many images at once; ``arrow.py``: their normal equations; ``still.py``, ``crew.py``: what is done with
each, and who does it; ``many_report.py``: what came of that.
"""
