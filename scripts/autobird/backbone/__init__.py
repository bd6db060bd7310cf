"""Pretrained networks that turn sound into embeddings: BirdNET, Perch, or any ONNX or TFLite file."""
