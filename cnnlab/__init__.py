"""cnnlab: which technique improves a CNN on these images, by how much, and how sure is that."""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

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


# Environment variable: the socket of the process that `make repro` and `make test` share, and where
# its packages are (cnnlab.run.nursery).
SHARED = "CNNLAB_NURSERY"


class _Apart(SourceFileLoader):
    """Keeps bytecode in the folder of the shared process, with which it ends; where there is none,
    nowhere. Beside the source DVC would take it for code, as it does all files in a folder of code:
    a .dvcignore counts for nothing outside of a study's folder."""

    def get_code(self, fullname: str) -> CodeType | None:
        before, sys.pycache_prefix = sys.pycache_prefix, _bytecode()
        try:
            return super().get_code(fullname)
        finally:
            sys.pycache_prefix = before

    def path_stats(self, path: str) -> dict[str, int]:
        stats = Path(path).stat()  # not in whole seconds: code may be edited within one
        return {"mtime": stats.st_mtime_ns, "size": stats.st_size}

    def set_data(self, path: str, data: bytes, **options: int) -> None:
        if _bytecode():
            super().set_data(path, data, **options)


def _bytecode() -> str | None:
    folder = Path(os.environ.get(SHARED, "").partition(os.pathsep)[0]).parent
    return str(folder) if folder.is_absolute() and folder.is_dir() else None


def _finder(folder: str) -> FileFinder:
    there = Path(folder).resolve()
    if not any(there.is_relative_to(CODE / top) for top in ("cnnlab", "stages")):
        raise ImportError  # so that another finder is asked
    return FileFinder(folder, (_Apart, SOURCE_SUFFIXES))


sys.path_hooks.insert(0, _finder)
