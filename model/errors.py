"""What images, encoders, heads and recipes raise for a person to read."""


class ModelError(Exception):
    """`str(error)` is one sentence that names the encoder or file and the next step."""


class UnreadableImage(ModelError):
    """One file can't be taken as an image; the message is the reason that is recorded."""
