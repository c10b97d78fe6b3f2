"""Finding and repairing what is wrong in a store, and recovering rows of a damaged one.

Imports every other folder of db; none of them imports it.
"""
