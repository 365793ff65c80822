"""The command from a bare checkout: ``python cli.py ...``."""

from nbnumba.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
