"""`python -m blackbox`: the command line."""

from __future__ import annotations

from blackbox.cli import main

if __name__ == "__main__":
    main()
