"""The inference server: ONNX Runtime behind HTTP. Its leaves `contract` and `preprocessing` are shared."""
