"""The peer of bench.study: the same trials as a plain, idiomatic Keras script would run them.

Build, compile, `fit` on arrays with validation data, MLflow autolog, one trial after the other, in
one process. It reads the study's params, pool and folds and uses none of cnnlab's training. Prints
the seconds that it took and, before that, the mean held-out accuracy of each variant.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

import keras  # noqa: E402
import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402


def build(p: dict, on: list[str], shape: tuple[int, ...], classes: int) -> keras.Model:
    """The study's network as one would write it by hand."""
    size, options = p["model"]["vgg"], p["techniques"]
    l1 = options["l1"]["kernel"] if "l1" in on else 0.0
    l2 = options["l2"]["kernel"] if "l2" in on else 0.0
    decay = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None
    layers = [keras.Input(shape), keras.layers.Rescaling(1 / 255)]
    if "augment" in on:
        policy = options["augment"]
        if "shift" in policy:
            fraction = policy["shift"]["fraction"]
            layers.append(keras.layers.RandomTranslation(fraction, fraction, "constant"))
        if "rotation" in policy:
            turn = policy["rotation"]["degrees"] / 360
            layers.append(keras.layers.RandomRotation(turn, "constant"))
    for filters in size["filters"]:
        for _ in range(size["convs"]):
            conv = keras.layers.Conv2D(
                filters, size["kernel"], padding="same", kernel_regularizer=decay
            )
            layers.append(conv)
            if "batchnorm" in on:
                momentum = options["batchnorm"]["momentum"]
                layers.append(keras.layers.BatchNormalization(momentum=momentum))
            layers.append(keras.layers.ReLU())
        layers.append(keras.layers.MaxPooling2D())
    layers.append(keras.layers.Flatten())
    for units in size["dense"]:
        layers.append(keras.layers.Dense(units, activation="relu", kernel_regularizer=decay))
        if "dropout" in on:
            layers.append(keras.layers.Dropout(options["dropout"]["rate"]))
    layers.append(keras.layers.Dense(classes, activation="softmax", kernel_regularizer=decay))
    model = keras.Sequential(layers)
    adam = keras.optimizers.Adam(p["train"]["learning_rate"])
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(store: str) -> None:
    p = YAML(typ="safe").load(Path("params.yaml"))
    images = np.load("data/prepared/dev/images.npy")
    manifest = pd.read_csv("data/prepared/dev/manifest.csv", dtype={"label": str})
    folds = pd.read_csv("data/folds.csv")
    names, labels = np.unique(manifest["label"], return_inverse=True)
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("plain")
    mlflow.tensorflow.autolog(log_models=False)
    accuracy = {}
    for variant, on in p["variants"]["train"].items():
        scores = []
        for repeat, split in folds.groupby("repeat"):
            fold = split.set_index("image_id")["fold"].loc[manifest["image_id"]].to_numpy()
            for number in range(p["folds"]["k"]):
                train, held_out = fold != number, fold == number
                keras.utils.set_random_seed(100 * int(repeat) + number)
                model = build(p, on, images.shape[1:], len(names))
                with mlflow.start_run(run_name=f"{variant} {repeat} {number}"):
                    history = model.fit(
                        images[train],
                        labels[train],
                        validation_data=(images[held_out], labels[held_out]),
                        epochs=p["train"]["epochs"],
                        batch_size=p["train"]["batch_size"],
                        verbose=0,
                    )
                scores.append(history.history["val_accuracy"][-1])
        accuracy[variant] = float(np.mean(scores))
        print(
            variant, f"{accuracy[variant]:.4f}", f"{time.perf_counter() - began:.0f} s", flush=True
        )
    print(json.dumps(accuracy))
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1])
