"""A process that keeps the encoder loaded and predicts one picture at a time, for the Try page."""
