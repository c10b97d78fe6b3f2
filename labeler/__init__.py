"""The workflow: what the command line and the pages both call, on top of `model/` and `db/`."""
