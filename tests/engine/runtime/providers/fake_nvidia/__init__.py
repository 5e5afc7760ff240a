"""NVIDIA's libraries as far as ONNX Runtime's CUDA provider needs them to make sessions, built from `fake.c`."""
