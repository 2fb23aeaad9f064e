"""config.pbtxt of a net, and of what wraps it; read as far as Sluice writes it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sluice.models import graph as graphs

if TYPE_CHECKING:
    from onnx import ModelProto

_PARAMETER: Final = re.compile(r'parameters \{ key: "(\w+)" value \{ string_value:((?:\s*"(?:[^"\\]|\\.)*")+)\s*\} \}')
_WARMUP: Final = re.compile(r"(# [^\n]*\n)?model_warmup .*?\n\n", re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_MOST: Final = 100
"""K of the detector contract, for models that are added."""


def parameters(config: str) -> dict[str, str]:
    """All parameters of a config.pbtxt."""
    return {
        key: "".join(json.loads(each) for each in _STRING.findall(value)) for key, value in _PARAMETER.findall(config)
    }


def wrapper(name: str, *, about: str, given: Mapping[str, str], labels: Sequence[str], long_side: int) -> str:
    """Of a model that keeps the detector contract, run by infra/triton/detector."""
    told = "\n".join(_parameter(key, value) for key, value in given.items())
    lines = "\n".join(f"  {json.dumps(label + chr(10), ensure_ascii=False)}" for label in labels)
    return f"""# {about}
name: "{name}"
backend: "python"
max_batch_size: 8
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
model_warmup [ {{ name: "grey" batch_size: 1 inputs {{ key: "FRAMES" value {{
  data_type: TYPE_UINT8 dims: [ {long_side}, {long_side}, 3 ] zero_data: true
}} }} }} ]

input [ {{ name: "FRAMES" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }} ]
output [
  {{ name: "BOXES" data_type: TYPE_FP32 dims: [ {_MOST}, 4 ] }},
  {{ name: "SCORES" data_type: TYPE_FP32 dims: [ {_MOST} ] }},
  {{ name: "CLASSES" data_type: TYPE_INT32 dims: [ {_MOST} ] }},
  {{ name: "COUNTS" data_type: TYPE_INT32 dims: [ 1 ] }}
]

{_parameter("long_side", str(long_side))}
{told}
parameters {{ key: "labels" value {{ string_value:
{lines}
}} }}
"""


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(value, ensure_ascii=False)} }} }}'


def on_gpu(config: str) -> str:
    """The same config.pbtxt of a wrapper whose net has a card: larger batches, and one is read while the next runs."""
    return config.replace("max_batch_size: 8\n", "max_batch_size: 32\n").replace("count: 1 }", "count: 2 }")


def without_warmup(config: str) -> str:
    """The same config.pbtxt, which ends that paragraph in which it stands."""
    return _WARMUP.sub("\n", config)


def net(name: str, model: "ModelProto", *, long_side: int, gpu: bool = False) -> str:
    """Of a net as a model of its own, run by Triton's onnxruntime backend."""
    (taken,) = graphs.inputs(model.graph)
    batched = isinstance(graphs.shape(taken)[0], str)
    size = [each if isinstance(each, int) else -(-long_side // 32) * 32 for each in graphs.shape(taken)[1:3]]
    frame = [*([] if batched else [1]), *size, 3]
    outputs = ",\n".join(f"  {_tensor(each, batched=batched)}" for each in model.graph.output)
    batching = "dynamic_batching { max_queue_delay_microseconds: 1000 }\n" if batched else ""
    grey = f'key: "FRAMES" value {{ data_type: TYPE_UINT8 dims: {frame} zero_data: true }}'
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {32 if batched else 0}
{batching}instance_group [ {{ kind: {"KIND_GPU" if gpu else "KIND_CPU"} count: 1 }} ]
model_warmup [ {{ name: "grey" batch_size: {1 if batched else 0} inputs {{ {grey} }} }} ]
input [ {_tensor(taken, batched=batched)} ]
output [
{outputs}
]
"""


def _tensor(value: Any, *, batched: bool) -> str:
    dims = [each if isinstance(each, int) and each > 0 else -1 for each in graphs.shape(value)][1 if batched else 0 :]
    kind = {1: "FP32", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 10: "FP16", 11: "FP64"}
    type_ = kind[value.type.tensor_type.elem_type]
    return f'{{ name: "{value.name}" data_type: TYPE_{type_} dims: {dims} }}'
