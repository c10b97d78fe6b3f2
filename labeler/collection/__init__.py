"""The images of a project: found, imported, previewed, tagged, uploaded, and as arrays.

May import `core/`.
"""
