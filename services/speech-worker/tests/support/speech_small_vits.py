"""Makes a VITS-shaped ONNX model of a few kB: each letter becomes 50 ms of a tone. It loads as a real voice does."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE_HZ = 16_000
SAMPLES_PER_TOKEN = 800
_LETTERS = " abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ["<PAD>", "<EOS>", "<BOS>", "<BLNK>"]
_STEP = 2 * np.pi * 440 / RATE_HZ


def make_small_vits(folder: Path) -> None:
    """tokens.txt and model.onnx with the metadata that sherpa-onnx asks of a Coqui VITS voice by characters."""
    tokens = [*_SPECIAL, *_LETTERS]
    (folder / "tokens.txt").write_text("".join(f"{token} {number}\n" for number, token in enumerate(tokens)))

    def constant(name: str, value: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> onnx.TensorProto:
        return numpy_helper.from_array(value, name)

    nodes = [
        helper.make_node("Mul", ["input_lengths", "per_token"], ["counts"]),
        helper.make_node("Squeeze", ["counts"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["times"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["times", "step"], ["phases"]),
        helper.make_node("Sin", ["phases"], ["wave"]),
        helper.make_node("Mul", ["wave", "level"], ["quiet"]),
        helper.make_node("Reshape", ["quiet", "shape"], ["output"]),
    ]
    constants = [
        constant("per_token", np.array([SAMPLES_PER_TOKEN], np.int64)),
        constant("zero", np.array(0, np.int64)),
        constant("one", np.array(1, np.int64)),
        constant("step", np.array(_STEP, np.float32)),
        constant("level", np.array(0.3, np.float32)),
        constant("shape", np.array([1, 1, -1], np.int64)),
    ]
    graph = helper.make_graph(
        nodes,
        "tone",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, ["N", "T"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "L"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    metadata = {
        "model_type": "vits", "comment": "coqui", "language": "English", "frontend": "characters", "add_blank": "0",
        "n_speakers": "1", "sample_rate": str(RATE_HZ), "pad_id": "0", "eos_id": "1", "bos_id": "2", "blank_id": "3",
        "use_eos_bos": "0", "has_espeak": "0", "voice": "en-us",
    }  # fmt: skip
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "model.onnx"))
