"""``python -m golden_suite_generator``, which is ``nbnumba golden``."""

import sys

from nbnumba.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "golden")
    raise SystemExit(main())
