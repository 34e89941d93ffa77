"""Small ONNX models, made on the spot."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def turn_model(
    file: Path, *, shape: tuple[int | str, ...] = ("batch", 80, 800), sigmoid: bool = True, scale: float = 1.0,
    name: str = "input_features", wide: bool = False,
) -> Path:  # fmt: skip
    """A model of turns: the mean of the last ten frames' features, times `scale`; through a sigmoid, or as it is.
    `wide` gives a number for each of the last ten frames instead.
    """
    nodes = [
        helper.make_node("Slice", [name, "starts", "ends", "axes"], ["last"]),
        helper.make_node("ReduceMean", ["last"], ["mean"], axes=[1] if wide else [1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["scaled"], ["logits"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "starts": np.array([-10], np.int64),
        "ends": np.array([10_000], np.int64),
        "axes": np.array([2], np.int64),
        "scale": np.array(scale, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "turn",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))
    return file
