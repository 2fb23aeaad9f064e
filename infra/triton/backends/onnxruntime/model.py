"""A backend named onnxruntime in Python: unmodified `backend: "onnxruntime"` models run without NVIDIA's image.

The wheel's server has the python backend alone. A python-based backend is this file, loaded once a model; the model's
config and the place of its model.onnx come as arguments.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


def threads(config):
    """Set by the model's parameters, named as in the original backend; one by default, for cores are shared."""
    options = onnxruntime.SessionOptions()
    given = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options.intra_op_num_threads = int(given.get("intra_op_thread_count", 1))
    options.inter_op_num_threads = int(given.get("inter_op_thread_count", 1))
    return options


class TritonPythonModel:
    """What the python backend calls."""

    def initialize(self, args):
        """Load the weights once."""
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / (config.get("default_model_filename") or "model.onnx")
        self.batched = config["max_batch_size"] > 0
        self.inputs = [each["name"] for each in config["input"]]
        self.outputs = [each["name"] for each in config["output"]]
        self.session = onnxruntime.InferenceSession(str(path), threads(config), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        """Run requests of one shape as one batch, others by themselves."""
        asked = [[pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs] for request in requests]
        alike = len({tuple(value.shape[1:] for value in values) for values in asked}) == 1
        if not (self.batched and alike and len(requests) > 1):
            return [self._response(self._run(values)) for values in asked]
        sizes = [len(values[0]) for values in asked]
        together = self._run([np.concatenate(column) for column in zip(*asked)])
        parts = [np.split(value, np.cumsum(sizes)[:-1]) for value in together]
        return [self._response(part) for part in zip(*parts)]

    def _run(self, values):
        return self.session.run(self.outputs, dict(zip(self.inputs, values)))

    def _response(self, values):
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in zip(self.outputs, values)])
