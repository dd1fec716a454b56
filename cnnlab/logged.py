"""A saved network as a folder that MLflow takes as a model, made without TensorFlow.

The file of the network goes in as it is, so that it is the very one that DVC keeps:
`mlflow.tensorflow.load_model` gives that Keras model, which answers with logits. As a service, and
by `mlflow.pyfunc.load_model`, it gives calibrated probabilities by the names of the classes, which
its signature has, with sets of classes and how unlike the training images an image is; or the
objects that it finds: see `cnnlab.served`.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnlab import likeness, records, served

if TYPE_CHECKING:
    from mlflow.models import Model

PACKAGES = ("keras", "tensorflow")  # what a server of the network has to have


def write_folder(
    folder: Path,
    model: Model,
    network: Path,
    example: np.ndarray,
    classes: Sequence[str],
    answering: records.Answering,
    maps: bool = False,
    boxes: bool = False,
) -> None:
    """Write the files of a model that MLflow knows as `model`.

    `example`: float32 (1, height, width, channels), an image of the study. `answering`: how the
    network's logits become probabilities; with its `false_alarms` the file of `cnnlab.likeness`
    lies beside the network. `maps`: whether it gives those of each pixel; `boxes`: whether boxes
    are made of them instead.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array, Object, Property
    from mlflow.utils import requirements_utils

    # MLflow's own refusal of another shape or type quotes all of the input. Of this one type it
    # refuses nothing, and `served` does.
    anything = TensorSpec(np.dtype("O"), (-1,), "images")
    about = {
        "classes": list(classes),
        "shape": list(example.shape[1:]),
        **{name: value for name, value in asdict(answering).items() if value is not None},
    }
    if boxes:
        about["boxes"] = True
    if maps:
        pixels = (-1, *example.shape[1:3])
        outputs = [TensorSpec(np.dtype(np.float32), pixels, name) for name in classes]
    elif boxes:
        numbers = [Property(name, DataType.double) for name in ("score", *served.BOX)]
        one = Object([Property("class", DataType.string), *numbers])
        outputs = [ColSpec(Array(one), "objects")]
    else:
        outputs = [ColSpec("double", name) for name in classes]
        if answering.coverage is not None:
            outputs.append(ColSpec(Array(DataType.string), served.column(served.SET, classes)))
        if answering.false_alarms is not None:
            outputs.append(ColSpec("double", served.column(served.UNLIKE, classes)))
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    # Else it reads the lists of files of all installed packages, which takes a tenth of a
    # stage's time, to compare these versions with those that are installed, which they are.
    requirements_utils._MODULES_TO_PACKAGES = requirements_utils._MODULES_TO_PACKAGES or {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "network")
        data.mkdir()
        shutil.copyfile(network, data / served.NETWORK)
        text = json.dumps(about, ensure_ascii=False)
        (data / served.ABOUT).write_text(text, encoding="utf-8")
        if answering.false_alarms is not None:
            shutil.copyfile(network.with_name(likeness.FILE), data / likeness.FILE)
        code = Path(temporary, "served_by_cnnlab")
        code.mkdir()
        shutil.copyfile(served.__file__, code / "__init__.py")
        shutil.copyfile(likeness.__file__, code / Path(likeness.__file__).name)
        # What mlflow.tensorflow writes of a Keras model, which it would have to load for that.
        model.add_flavor(
            "tensorflow",
            code="code",
            data="data/network",
            keras_version=versions["tensorflow"],
            model_type="keras",
            save_format="tf",
        )
        mlflow.pyfunc.save_model(
            path=folder,
            loader_module=code.name,
            data_path=data,
            code_paths=[code],
            mlflow_model=model,
            signature=ModelSignature(
                Schema([anything]),
                Schema(outputs),
            ),
            input_example=example,
            metadata=about,
            pip_requirements=[f"{name}=={version}" for name, version in versions.items()],
        )
