"""What every test shares: how hypothesis searches."""

import os

from hypothesis import settings

settings.register_profile("nbnumba", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.load_profile("nbnumba")
