"""Heads: from an embedding to a score. Our own, published ones, their files, ONNX.

Imports model.checkpoints, devices, files and threads.
"""
