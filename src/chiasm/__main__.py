"""``python -m chiasm``: the command ``chiasm``, where its script is not on the path."""

from __future__ import annotations

from chiasm.cli.main import run

if __name__ == "__main__":
    run()
