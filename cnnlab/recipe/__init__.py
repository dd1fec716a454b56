"""How a network is built and trained, as plain data, and what turns it into Keras layers.

`recipe` says it; `techniques` change it; `variants` puts it together from params; `nets`, `blocks`
and `network` build it.
"""
