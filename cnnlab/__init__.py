"""cnnlab: which technique improves a CNN on these images, by how much, and how sure is that."""
