"""Recipes that train heads on scored embeddings, and cross-fitting.

Imports model.estimators, heads, devices and threads.
"""
