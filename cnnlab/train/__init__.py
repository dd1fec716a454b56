"""How one trial is trained: the only code, with `look`, that computes with TensorFlow."""
