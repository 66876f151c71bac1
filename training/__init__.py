"""Builds and fits the digit classifier in Keras and writes it as a SavedModel with a `run.json`."""
