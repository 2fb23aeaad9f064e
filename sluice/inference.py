"""The detector: the port, and TritonDetector for any model that keeps the detector contract.

The contract (one for all models, kept by the served model): input FRAMES uint8 [N,H,W,3] RGB, outputs of fixed K
BOXES fp32 [N,K,4] (x0, y0, x1, y1 as fractions of the frame sent), SCORES fp32 [N,K], CLASSES int32 [N,K],
COUNTS int32 [N,1]; the model's parameter long_side says how large a frame it wants, labels its classes.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sluice.errors import UnavailableError, UnusableInputError
from sluice.settings import DetectorSettings

Frames = npt.NDArray[np.uint8]
"""[N, height, width, 3], RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One object in one frame; the corners are fractions of the frame."""

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a served model says of itself."""

    name: str
    version: str
    labels: tuple[str, ...]
    long_side: int
    max_batch: int


class Detector(Protocol):
    """Finds objects in frames. Raises UnavailableError when the server does not answer or is stopping."""

    def describe(self, model: str) -> ModelInfo:
        """What the model says of itself; raises UnusableInputError for a model that does not keep the contract."""
        ...

    def detect(self, model: str, frames: Frames) -> list[tuple[Box, ...]]:
        """The objects in each frame."""
        ...


MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""A batch is split above this: the server holds every request in shared memory."""
DESCRIPTION_S = 60.0
"""A model's description is asked again after this; a served model may be replaced while we run."""

_OUTPUTS: dict[str, tuple[str, int]] = {
    "BOXES": ("FP32", 3),
    "SCORES": ("FP32", 2),
    "CLASSES": ("INT32", 2),
    "COUNTS": ("INT32", 2),
}

# Attempts are made at each call, not on gRPC's own schedule, whose pauses grow to two minutes. A pool of its own, or a
# new channel would share the broken connection of an old one that another thread still waits on. A batch of frames is
# larger than gRPC's default limit of 4 MiB. A name with several addresses, as a headless Service has, is several
# servers, asked in turn; by default gRPC stays with the first for ever.
_CHANNEL = [
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


def check_frames(frames: Frames) -> None:
    """Raise UnusableInputError unless *frames* are whole RGB frames of one size."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape[1:]:
        raise UnusableInputError(
            "frames as uint8 [N,height,width,3]", f"{frames.dtype} {list(frames.shape)}", "detector"
        )


class TritonDetector:
    """Any model behind Triton that keeps the contract; connects at the first call, and again after a failure."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Any = None
        self._described: dict[str, tuple[float, ModelInfo]] = {}

    def describe(self, model: str) -> ModelInfo:
        """What the model's config and metadata say; remembered for a minute."""
        return self._describe(model, time.monotonic() + self._settings.timeout_s)

    def detect(self, model: str, frames: Frames) -> list[tuple[Box, ...]]:
        """The objects in each frame; all batches together take at most the timeout."""
        check_frames(frames)
        deadline = time.monotonic() + self._settings.timeout_s
        info = self._describe(model, deadline)
        size = min(info.max_batch, max(1, MAX_REQUEST_BYTES // max(1, frames[:1].nbytes)))
        found: list[tuple[Box, ...]] = []
        for start in range(0, len(frames), size):
            found += self._infer(info, frames[start : start + size], deadline)
        return found

    def close(self) -> None:
        """End the connection; a later call makes a new one."""
        self._forget(self._client)

    def _describe(self, model: str, deadline: float) -> ModelInfo:
        kept = self._described.get(model)
        if kept is not None and time.monotonic() - kept[0] < DESCRIPTION_S:
            return kept[1]
        if kept is not None:
            # gRPC looks a name up again when a connection ends only; a new one finds servers that were added.
            self._forget(self._client)
        config = self._ask(model, deadline, "get_model_config", model).config
        metadata = self._ask(model, deadline, "get_model_metadata", model)
        info = _read_description(config, metadata)
        self._described[model] = (time.monotonic(), info)
        return info

    def _infer(self, info: ModelInfo, frames: Frames, deadline: float) -> list[tuple[Box, ...]]:
        from tritonclient.grpc import InferInput, InferRequestedOutput

        given = InferInput("FRAMES", list(frames.shape), "UINT8")
        given.set_data_from_numpy(np.ascontiguousarray(frames))
        wanted = [InferRequestedOutput(name) for name in _OUTPUTS]
        result = self._ask(info.name, deadline, "infer", info.name, [given], outputs=wanted)
        return _read_boxes(info, {name: result.as_numpy(name) for name in _OUTPUTS}, len(frames))

    def _ask(self, model: str, deadline: float, method: str, *arguments: Any, **options: Any) -> Any:
        """Call the server within the deadline, and translate what it answers."""
        from tritonclient.utils import InferenceServerException

        left = deadline - time.monotonic()
        if left <= 0:
            raise UnavailableError("triton", f"no answer within {self._settings.timeout_s:g} s")
        client = self._connection()
        try:
            return getattr(client, method)(*arguments, **options, client_timeout=left)
        except InferenceServerException as error:
            translated = _translate(error.status() or "", error.message() or "", model)
            if isinstance(translated, UnavailableError):
                self._forget(client)
            self._described.pop(model, None)
            raise translated from error

    def _connection(self) -> Any:
        from tritonclient.grpc import InferenceServerClient

        with self._lock:
            if self._client is None:
                self._client = InferenceServerClient(self._settings.url, channel_args=_CHANNEL)
            return self._client

    def _forget(self, client: Any) -> None:
        """Other threads may still wait on it, so it is let go, not closed: it closes itself with its last call."""
        with self._lock:
            if self._client is client:
                self._client = None


def _translate(status: str, message: str, model: str) -> UnavailableError | UnusableInputError:
    code = status.removeprefix("StatusCode.")
    if code == "INVALID_ARGUMENT":
        return UnusableInputError(f"what model {model!r} takes", message[:500], "detector")
    # "has no available versions" is what a server that stops or loads says of a model it knows.
    if code == "NOT_FOUND" and "no available versions" not in message:
        return UnusableInputError("a served model", repr(model), "detector")
    # INTERNAL too: that is a model whose process died, which only a restart of the server brings back.
    return UnavailableError("triton", f"{code or 'ERROR'}: {message[:500]}")


def _read_description(config: Any, metadata: Any) -> ModelInfo:
    where = f"model {metadata.name!r}"
    inputs = {each.name: (each.datatype, len(each.shape)) for each in metadata.inputs}
    outputs = {each.name: (each.datatype, len(each.shape)) for each in metadata.outputs}
    if inputs != {"FRAMES": ("UINT8", 4)} or any(outputs.get(name) != kind for name, kind in _OUTPUTS.items()):
        raise UnusableInputError("the detector contract (docs/adr/0003)", f"inputs {inputs}, outputs {outputs}", where)
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    labels = tuple(line.strip() for line in parameters.get("labels", "").splitlines() if line.strip())
    long_side = parameters.get("long_side", "")
    if not labels or not long_side.isdecimal() or int(long_side) == 0:
        raise UnusableInputError(
            "parameters long_side and labels", f"{sorted(parameters)}, long_side {long_side!r}", where
        )
    return ModelInfo(
        name=metadata.name,
        version=metadata.versions[-1] if metadata.versions else "",
        labels=labels,
        long_side=int(long_side),
        max_batch=max(1, config.max_batch_size),
    )


def _read_boxes(info: ModelInfo, outputs: dict[str, Any], frames: int) -> list[tuple[Box, ...]]:
    """Take nothing on trust: a model is somebody else's program."""
    boxes, scores, classes, counts = (outputs[name] for name in _OUTPUTS)
    where = f"answer of model {info.name!r}"
    shapes = [None if value is None else value.shape for value in outputs.values()]
    most = shapes[1][1] if shapes[1] is not None and len(shapes[1]) == 2 else 0
    if shapes != [(frames, most, 4), (frames, most), (frames, most), (frames, 1)]:
        raise UnusableInputError(
            f"BOXES [{frames},K,4], SCORES and CLASSES [{frames},K], COUNTS [{frames},1]", f"{shapes}", where
        )
    used = np.arange(most) < counts
    if (counts < 0).any() or (counts > most).any():
        raise UnusableInputError(f"COUNTS from 0 to {most}", f"{counts.ravel().tolist()}"[:200], where)
    if (used & ((classes < 0) | (classes >= len(info.labels)))).any():
        raise UnusableInputError(f"CLASSES below {len(info.labels)}", f"{classes[used].max()}", where)
    if not (np.isfinite(boxes[used]).all() and np.isfinite(scores[used]).all()):
        raise UnusableInputError("finite BOXES and SCORES", "inf or nan", where)
    corners = np.clip(boxes, 0, 1).tolist()
    return [
        tuple(
            Box(
                label=info.labels[classes[i, k]],
                score=float(scores[i, k]),
                **dict(zip(_CORNERS, corners[i][k], strict=True)),
            )
            for k in range(int(counts[i, 0]))
        )
        for i in range(frames)
    ]


_CORNERS = ("x0", "y0", "x1", "y1")
