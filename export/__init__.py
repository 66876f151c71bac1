"""Converts a SavedModel to ONNX, proves that both agree, and publishes the result as a versioned artifact."""
