"""Any detection net behind the detector contract: pads frames, runs the net, reads its outputs, drops duplicates.

One file for all nets; the model's parameters say which one it is. The net is `model.onnx` beside this file, run here by
onnxruntime, or else the served model `<name>_net`: NVIDIA's image has no onnxruntime for Python, but a faster one.
"""

import json
from pathlib import Path

import decoding
import numpy as np
import triton_python_backend_utils as pb_utils


class Beside:
    """The net in this process. Frame by frame: on a CPU a batch is slower a frame, as it falls out of the caches."""

    def __init__(self, path, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Waiting threads would take the cores that decode video.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [each.name for each in self.session.get_outputs()]

    def run(self, frames):
        """Outputs by name, of all frames."""
        ran = [self.session.run(self.outputs, {self.input: frames[i : i + 1]}) for i in range(len(frames))]
        return {name: np.concatenate(values) for name, values in zip(self.outputs, zip(*ran))}


class Served:
    """The net as a model of its own in the same server."""

    def __init__(self, name, outputs, most):
        self.name, self.outputs, self.most = name, outputs, most

    def run(self, frames):
        """Outputs by name, of all frames."""
        ran = [self._ask(frames[i : i + self.most]) for i in range(0, len(frames), self.most)]
        return {name: np.concatenate([each[name] for each in ran]) for name in self.outputs}

    def _ask(self, frames):
        request = pb_utils.InferenceRequest(
            model_name=self.name,
            requested_output_names=self.outputs,
            inputs=[pb_utils.Tensor("FRAMES", frames)],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in self.outputs}


class TritonPythonModel:
    """What the python backend calls."""

    def initialize(self, args):
        """Read the parameters and find the net."""
        config = json.loads(args["model_config"])
        given = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.most = next(each["dims"][0] for each in config["output"] if each["name"] == "SCORES")
        self.reader = decoding.Reader(given)
        beside = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        if beside.exists():
            self.net = Beside(beside, int(given.get("threads", 1)))
        else:
            outputs = given["net_outputs"].split()
            self.net = Served(args["model_name"] + "_net", outputs, int(given.get("net_batch", 1)))

    def execute(self, requests):
        """Run requests whose frames have one size together; the answers are apart again."""
        asked = [pb_utils.get_input_tensor_by_name(request, "FRAMES").as_numpy() for request in requests]
        answers = [None] * len(requests)
        for shape in {frames.shape[1:] for frames in asked}:
            alike = [i for i, frames in enumerate(asked) if frames.shape[1:] == shape]
            try:
                found = self._find(asked[alike[0]] if len(alike) == 1 else np.concatenate([asked[i] for i in alike]))
            except pb_utils.TritonModelException as error:
                for i in alike:
                    answers[i] = pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
                continue
            ends = np.cumsum([len(asked[i]) for i in alike])
            for i, end in zip(alike, ends):
                mine = slice(end - len(asked[i]), end)
                tensors = [pb_utils.Tensor(name, value[mine]) for name, value in found.items()]
                answers[i] = pb_utils.InferenceResponse(tensors)
        return answers

    def _find(self, frames):
        canvas, size = self.reader.padded(frames)
        return self.reader.read(self.net.run(canvas), canvas.shape, size, self.most)
