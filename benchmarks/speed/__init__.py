"""Speed: the server beside others that serve the same model, each pinned to one core, in turn, several times."""
