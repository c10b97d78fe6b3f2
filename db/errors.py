"""What the store raises for a person to read."""


class StoreError(Exception):
    """`str(error)` is one sentence that names the store or row and the next step."""


class ReplacedError(StoreError):
    """The store is not the one that was opened any more; nothing is taken, and that stays so."""
