"""What every other package needs: the project and its settings, errors, progress, text, scales.

May import `model/` and `db/`.
"""
