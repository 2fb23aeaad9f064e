"""What makes a model repository: graphs are edited, folders written. Needs `onnx`; what serves does not."""
