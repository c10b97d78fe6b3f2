"""Heads: from an embedding to a prediction. Our own, published ones, their files, ONNX."""
