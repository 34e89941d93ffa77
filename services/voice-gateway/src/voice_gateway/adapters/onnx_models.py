"""Opening ONNX models that a setting names, with a refusal that a person can act on."""

from pathlib import Path
from typing import Any

ERRORS_ONLY = 3
"""The runtime's log level. It warns of initialisers that a file holds and no node uses."""

DETAIL_CHARACTERS = 200


class ModelUnusable(Exception):
    """A model file can't be used. The text is one sentence that names the setting, its value and what is allowed."""


def open_session(file: Path, key: str) -> Any:
    """A session on one thread: runs are short, and the thread that makes them is the only one. Raises `ModelUnusable`,
    which names the setting `key`, where the file can't be read as a model.
    """
    if not file.is_file():
        raise ModelUnusable(f"{key} is {file}, which is no file; allowed is an ONNX model")
    # 18 MB that a gateway without models need not spend. Models are opened before it serves.
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnusable(f"{key} is {file}; allowed is a readable ONNX model ({told(error)})") from error


def told(error: Exception) -> str:
    """The beginning of what the runtime says, on one line."""
    return " ".join(str(error).split())[:DETAIL_CHARACTERS]
