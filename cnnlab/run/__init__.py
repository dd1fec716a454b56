"""Which trials run, and where: local processes, devices, Ray."""
