"""What the store raises for a person to read."""


class StoreError(Exception):
    """`str(error)` is one sentence that names the store or row and the next step."""
