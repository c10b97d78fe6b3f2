"""Encoders: from pixels to an embedding. CLIP by open_clip, and a small one that comes along.

Imports model.checkpoints, devices and files.
"""
