"""Training throughput on one GPU: the one `fit` against Keras, PyTorch, a bare TensorFlow step and
the card's own limit.

`python -m bench.gpu [rounds]`: the network of bench.throughput in float32 and bfloat16, at batch
128 and 1024. It needs `make gpu`, and requirements-bench.txt with PyTorch for CUDA 12:
`pip install -r requirements-bench.txt "torch<2.11"`.
`python -m bench.gpu --cpu` tries it out on a tiny network and the CPU, and saves nothing.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping

from bench import alternate, installed, median, save, without_gpus
from bench.throughput import (
    CLASSES,
    PRECISIONS,
    Watch,
    Work,
    cnnlab,
    keras_fit,
    keras_network,
    product,
    torch_eager,
)

FULL = [
    Work(precision, batch=batch, images=51_200) for precision in PRECISIONS for batch in (128, 1024)
]
TINY = [Work("bfloat16", batch=16, images=64, epochs=2, filters=(4,), convs=1, dense=())]
TORCH = ("torch_eager", "torch_compile")
REACH = [  # on a card of the class of an H100
    ("float32, batch 128", "cnnlab / torch_eager", 2.5),
    ("float32, batch 128", "cnnlab / keras_fit", 2.0),
    ("bfloat16, batch 1024", "cnnlab / torch_compile", 1.2),
]


def torch_compile(work: Work) -> float:
    return torch_eager(work, compiled=True)


def bare_step(work: Work) -> float:
    """All data on the device, batches gathered there, and the step compiled whole by XLA."""
    import keras
    import tensorflow as tf

    model, adam, watch = keras_network(work), keras.optimizers.Adam(1e-3), Watch(work)
    weights = model.trainable_variables
    adam.build(weights)
    x, y = map(tf.constant, work.data())

    @tf.function(jit_compile=True)
    def step(rows):
        with tf.GradientTape() as tape:
            logits = model(tf.cast(tf.gather(x, rows), tf.float32), training=True)
            labels = tf.one_hot(tf.gather(y, rows), CLASSES)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        adam.apply(tape.gradient(loss, weights), weights)
        return loss

    for _ in range(work.epochs):
        order = tf.cast(tf.argsort(tf.random.uniform([work.images])), tf.int64)
        for i in range(0, work.images, work.batch):
            loss = step(order[i : i + work.batch])
        loss.numpy()  # the device has done what it was given
        watch.epoch_ends()
    return watch.rate()


def matmul(work: Work) -> float:
    """Images a second if nothing but the network's arithmetic took time, at the card's measured
    rate of a large matrix product in that precision (float32 by TensorFloat-32, where it is)."""
    import tensorflow as tf

    size = (
        (8192, work.precision, 10) if tf.config.list_physical_devices("GPU") else (512, "float32")
    )
    return product(*size) / (6 * work.macs)


TIMED = {f.__name__: f for f in (cnnlab, keras_fit, torch_eager, torch_compile, bare_step, matmul)}


def machine() -> dict:
    """The GPU's name for TensorFlow, None without, and whether PyTorch can use one."""
    import tensorflow as tf

    name = None
    for gpu in tf.config.list_physical_devices("GPU")[:1]:
        name = tf.config.experimental.get_device_details(gpu)["device_name"]
    torch = importlib.import_module("torch") if installed("torch") else None
    return {"card": name, "torch": bool(torch and torch.cuda.is_available())}


def seen() -> dict:
    """The same, asked in a process of its own, so that this one says and holds nothing."""
    command = [sys.executable, "-m", "bench.gpu", "machine"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench.gpu: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def lacking(here: Mapping) -> list[str]:
    """What the whole of it needs and this machine has not."""
    lacks = []
    if not here["card"]:
        lacks.append("a GPU that TensorFlow can use (make gpu)")
    if not installed("torch"):
        lacks.append("PyTorch (pip install -r requirements-bench.txt)")
    elif not here["torch"]:
        lacks.append("a GPU that PyTorch can use (pip install torch, not its build for CPUs)")
    return lacks


def setting(work: Work) -> str:
    return f"{work.precision}, batch {work.batch}"


def compared(values: Mapping[str, Mapping[str, list[float]]]) -> dict:
    """Of images a second, by setting and contender: `fit` against the others, each contender's
    share of the matrix product, and `fit` against what it is to reach."""
    rates = {where: {n: median(v) for n, v in each.items()} for where, each in values.items()}
    ratios = {
        where: {f"cnnlab / {n}": each["cnnlab"] / rate for n, rate in each.items() if n != "cnnlab"}
        for where, each in rates.items()
    }
    shares = {
        where: {n: rate / each["matmul"] for n, rate in each.items() if n != "matmul"}
        for where, each in rates.items()
    }
    reach = [
        {"setting": where, "ratio": ratio, "at_least": least, "is": ratios[where][ratio]}
        for where, ratio, least in REACH
        if ratio in ratios.get(where, {})
    ]
    return {"ratios": ratios, "share_of_matrix_product": shares, "reach": reach}


def main(rounds: int, tiny: bool) -> None:
    here = {} if tiny else seen()
    if lacks := [] if tiny else lacking(here):
        sys.exit(f"bench.gpu lacks {', and '.join(lacks)}; --cpu tries it out without")
    names = [name for name in TIMED if name not in TORCH or installed("torch")]
    if not installed("torch"):
        print("PyTorch is not installed: left out", flush=True)
    values = {}
    for number, work in enumerate(TINY if tiny else FULL):
        print(setting(work), flush=True)
        which = [str(number), *(["--cpu"] if tiny else [])]
        commands = {name: [sys.executable, "-m", "bench.gpu", name, *which] for name in names}
        env = without_gpus() if tiny else None
        values[setting(work)] = alternate(commands, rounds, "images/s", env)
        result = {"macs": work.macs, "images_per_second": values, **compared(values)}
        if not tiny:  # after each setting: one that fails loses none before it
            name = re.sub(r"[^a-z0-9]+", "-", here["card"].lower())
            save(f"gpu_{name}", {"card": here["card"], **result})
    if tiny:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    tiny = "--cpu" in sys.argv
    first, *others = [a for a in sys.argv[1:] if a != "--cpu"] or ["1" if tiny else "3"]
    if first == "machine":
        print(json.dumps(machine()))
    elif first in TIMED:
        print(TIMED[first]((TINY if tiny else FULL)[int(others[0])]))
    else:
        main(int(first), tiny)
