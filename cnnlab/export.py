"""The network of the recommended variant for other programs: `python -m cnnlab.export` (`make
export`).

Writes exports/NAME.tflite (TensorFlow Lite, now LiteRT) and, where the packages of
requirements-export.txt are installed, exports/NAME.onnx. Both take float32 images (n, height,
width, channels), 0..255, and give the probabilities of the classes, temperature and mirror images
included: of each image (n, classes), or of each pixel (n, height, width, classes). A network that
finds objects gives its maps, and usage.json says what they hold. usage.json beside the files says
how images are brought to that shape and what the classes are called. Each file is asked about 32
images, and removed where it does not say what Keras says.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnlab import paths, usage
from cnnlab.data import pool
from cnnlab.errors import UserError, run_command
from cnnlab.processes import quiet
from cnnlab.tasks import TASKS

if TYPE_CHECKING:
    import keras
    import onnx

IMAGES = 32  # that a file is asked about
TOLERANCE = 1e-4  # of a probability; of maps, of their largest value
LARGEST = 1024  # pixels of a map's side, as of an image's
ONNX = ("onnx", "onnxruntime", "tf2onnx")  # packages


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises UserError, after all files have been tried, for those that failed."""
    asked = _parse(arguments)
    about = usage.read(asked.model)
    if asked.out.exists() and asked.out.samefile(asked.model):
        raise UserError(f"--out {asked.out}: is the network's own folder; name another one")
    missing = [name for name in ONNX if importlib.util.find_spec(name) is None]
    formats = asked.format or [name for name in FORMATS if name != "onnx" or not missing]
    if "onnx" in formats and missing:
        raise UserError(
            f"ONNX needs {', '.join(missing)}; run `pip install -r requirements-export.txt`"
        )
    images, whose = _images(about)
    with quiet():
        network, what = _answering(about, usage.network_of(asked.model, about))
        said = np.asarray(network([images], training=False))
    asked.out.mkdir(parents=True, exist_ok=True)
    _write_usage(about, asked.model / usage.FILE, asked.out / usage.FILE)
    failed = []
    for name in formats:
        file = asked.out / f"{about.recipe}.{name}"
        try:
            off = export(name, network, file, images, said)
        except Exception as error:  # a converter may fail in any way, and the others go on
            file.unlink(missing_ok=True)
            failed.append(f"{file}: {type(error).__name__}: {error}")
        else:
            print(
                f"{file}: {file.stat().st_size:,} bytes; {what} of {len(images)} {whose} "
                f"differ from Keras by {off:.1e} at most"
            )
    if not asked.format and missing:
        print(f"no ONNX file: {', '.join(missing)} not installed, see requirements-export.txt")
    if failed:
        raise UserError("\n".join(failed))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cnnlab.export", description=__doc__)
    parser.add_argument(
        "--model", type=paths.typed, default=paths.MODELS, help="folder of the network"
    )
    parser.add_argument("--out", type=paths.typed, default=Path("exports"), help="for the files")
    parser.add_argument(
        "--format", choices=FORMATS, action="append", help="one of them, not all; may be repeated"
    )
    asked = parser.parse_args(arguments)
    paths.refuse_to_write(asked.out)
    return asked


def _answering(about: usage.Usage, network: keras.Model) -> tuple[keras.Model, str]:
    """A network as it is given away, and what it gives, in a word."""
    import keras

    if TASKS[about.task].LOGITS:
        return keras.Model(network.inputs, network.outputs[0]), "maps"
    return about.answering.of(network), "probabilities"


def _write_usage(about: usage.Usage, own: Path, file: Path) -> None:
    """Write the study's `own` as it is of what is exported: whose probabilities are calibrated
    already, or which gives none, and says what."""
    gives = TASKS[about.task].LOGITS
    changed = {"gives": gives} if gives else {"temperature": 1.0, "flips": False}
    facts = json.loads(own.read_text()) | changed
    file.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def export(
    name: str, network: keras.Model, file: Path, images: np.ndarray, said: np.ndarray
) -> float:
    """Write a network in a format, a key of FORMATS, and return by how much its answers to images,
    float32 (n, height, width, channels), differ from `said`, (n, ..., classes), at most.

    Raises ValueError where that is more than TOLERANCE allows, or no number.
    """
    write, ask = FORMATS[name]
    with _unsaid(), quiet():
        write(network, file)
        answers = ask(file, images)
    if answers.shape != said.shape:
        raise ValueError(f"it gives {answers.shape}, Keras {said.shape}")
    off = float(np.abs(answers - said).max())
    most = TOLERANCE * max(1.0, float(np.abs(said).max()))
    if not off <= most:  # or it is NaN
        raise ValueError(f"its answers differ from Keras by {off:.2g}; allowed: {most:.2g} at most")
    return off


def _images(about: usage.Usage) -> tuple[np.ndarray, str]:
    """Images to ask about, float32: development images where the study is here, else noise."""
    folder = paths.PREPARED / "dev"
    if (folder / "images.npy").exists():
        images = pool.read(folder).images
        if list(images.shape[1:]) == about.shape:
            rows = np.linspace(0, len(images) - 1, IMAGES).round().astype(int)
            return np.asarray(images[rows], np.float32), "development images"
    drawn = np.random.default_rng(0).integers(0, 256, (IMAGES, *about.shape))
    return drawn.astype(np.float32), "images of noise"


def _write_tflite(network: keras.Model, file: Path) -> None:
    import tensorflow as tf

    # From a concrete function the converter leaves the weights behind (TensorFlow 2.21).
    file.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


def _ask_tflite(file: Path, images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    reader = tf.lite.Interpreter(model_content=file.read_bytes())
    place = reader.get_input_details()[0]["index"]
    reader.resize_tensor_input(place, images.shape)
    reader.allocate_tensors()
    reader.set_tensor(place, images)
    reader.invoke()
    return reader.get_tensor(reader.get_output_details()[0]["index"])


def _write_onnx(network: keras.Model, file: Path) -> None:
    import onnx

    network.export(file, format="onnx", verbose=False)
    model = onnx.load(file)
    if _round_up(model.graph):
        onnx.save(model, file)


def _round_up(graph: onnx.GraphProto) -> bool:
    """Make maps as large as they should be; returns whether some were not.

    Where they are enlarged by a factor such as 7/3, tf2onnx writes it as float32, and where that is
    a bit too small, 3 pixels become 6.
    """
    import onnx

    asked = {node.input[2] for node in graph.node if node.op_type == "Resize"}
    changed = False
    for constant in graph.initializer:
        if constant.name in asked and constant.data_type == onnx.TensorProto.FLOAT:
            scales = onnx.numpy_helper.to_array(constant)
            meant = [Fraction(float(scale)).limit_denominator(LARGEST) for scale in scales]
            short = np.array(
                [fraction > Fraction(float(s)) for fraction, s in zip(meant, scales, strict=True)]
            )
            if short.any():
                larger = np.where(short, np.nextafter(scales, np.float32(np.inf)), scales)
                constant.CopyFrom(onnx.numpy_helper.from_array(larger, constant.name))
                changed = True
    return changed


def _ask_onnx(file: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


Write = Callable[["keras.Model", Path], None]
Ask = Callable[[Path, np.ndarray], np.ndarray]
# How each format, which is also the ending of its files, is written, and asked about images.
FORMATS: dict[str, tuple[Write, Ask]] = {
    "tflite": (_write_tflite, _ask_tflite),
    "onnx": (_write_onnx, _ask_onnx),
}


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Without what converters print of themselves."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    run_command(main)
