"""What a worker imports before its first trial. Workers on CPUs are forks of a process that has
imported it once; TensorFlow has begun no work there, and survives that."""

import os

from cnnlab.processes import hidden, quiet

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
with quiet(), hidden("matplotlib", "sklearn"):  # a third of the time that Keras takes to import
    import cnnlab.train.fit
    import cnnlab.train.phases  # noqa: F401
