"""An experiment's numbers from measured images.

``levenberg.py``: steps on normal equations; ``systems.py``, ``restraints.py``: what is known beforehand; ``stages.py``:
in which order; ``refine.py``: from a start to a :class:`Refinement`; ``measured.py``, ``background.py``: from
files to a target; ``names.py``: what is refined, in short; ``report.py``, ``picture.py``: what came of it.
``many.py``: from many starts to a :class:`JointRefinement`; ``arrow.py``: their normal equations; ``joint.py``: the way
down; ``still.py``, ``crew.py``: what is done with each image, and who does it; ``joint_outcome.py``,
``joint_report.py``: what came of it.
"""
