"""What every test shares: how hypothesis searches, and what is said at the end."""

import os

import pytest
from hypothesis import settings

settings.register_profile("nbnumba", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.load_profile("nbnumba")

collect_ignore = ["by_dials.py", "by_dials_campaign.py", "by_dxtbx.py"]
"""Run by the Python that has DIALS."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many recorded images were matched, whichever worker matched them."""
    passed = terminalreporter.stats.get("passed", [])
    matched = [test for test in passed if "test_golden.py::test_image[" in test.nodeid]
    if matched:
        terminalreporter.write_line(f"{len(matched)} runs of golden and independent images matched at every pixel")
