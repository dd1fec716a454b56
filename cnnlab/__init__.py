"""cnnlab: which technique improves a CNN on these images, by how much, and how sure is that."""

import os

# Before anything imports TensorFlow, which by itself takes oneDNN's kernels only on CPUs with
# AVX-512 VNNI; elsewhere convs train 1.5 times as fast with them (bench.throughput). It shows in
# the last bits of results, so a fingerprint covers it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Or the first process takes all memory of a GPU, and no other has room beside it.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
