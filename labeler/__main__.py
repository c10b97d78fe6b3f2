"""`python -m labeler` is the `labeler` command; background runs are started this way."""

from __future__ import annotations

from labeler.cli import main

main()
