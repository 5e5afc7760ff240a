"""What ONNX Runtime executes, where, and in which precision."""
