"""Exported models: safetensors pair, ONNX file, Python script, model card."""
