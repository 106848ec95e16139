"""Trained models in other forms: on 8-bit integers for CPUs, and as ONNX for search engines and browsers."""
