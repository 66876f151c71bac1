"""Measurements of the server as a process. Each prints its figures beside their targets; `--json` keeps them."""
