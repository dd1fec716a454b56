"""cnnlab: which technique improves a CNN on these images, by how much, and how sure is that."""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

# Before anything imports TensorFlow, which by itself takes oneDNN's kernels only on CPUs with
# AVX-512 VNNI; elsewhere convs train 1.5 times as fast with them (bench.throughput). It shows in
# the last bits of results, so a fingerprint covers it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Or the first process takes all memory of a GPU, and no other has room beside it.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# TensorFlow's C++ side reports a missing GPU as an error, at each start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# An absent server of MLflow shall cost seconds, not the minutes that it would try again.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # read when MLflow is imported

CODE = Path(__file__).resolve().parents[1]  # the folder of cnnlab and stages: the user's clone


class _Uncached(SourceFileLoader):
    """Writes no bytecode beside the source. DVC takes all files in a folder of code for part of it:
    a .dvcignore counts for nothing outside of a study's folder."""

    def set_data(self, path: str, data: bytes, **options: int) -> None:
        pass


def _finder(folder: str) -> FileFinder:
    there = Path(folder).resolve()
    if not any(there.is_relative_to(CODE / top) for top in ("cnnlab", "stages")):
        raise ImportError  # so that another finder is asked
    return FileFinder(folder, (_Uncached, SOURCE_SUFFIXES))


sys.path_hooks.insert(0, _finder)
