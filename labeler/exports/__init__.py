"""What leaves the project, one module per format, all from the same rows (`rows.py`)."""
