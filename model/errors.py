"""What encoders, heads and recipes raise for a person to read."""


class ModelError(Exception):
    """`str(error)` is one sentence that names the encoder or file and the next step."""
