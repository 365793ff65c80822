"""``nbnumba golden``: record and check suites of golden images."""

from ..golden_suite_generator.__main__ import main as main
