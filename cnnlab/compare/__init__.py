"""How much does each technique help, and how sure is that?

`contrasts` says which variants an effect compares; `scores` gives the values of single images;
`inference` turns them into estimates; `tables` into rows. Arrays in, dataclasses and rows out: no
files, no TensorFlow, and no statistical choice (confidence, rope, probability, seed) made for the
caller.
"""
