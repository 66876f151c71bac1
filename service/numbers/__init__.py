"""Whole numbers: strokes or ink taken apart into candidates for a digit, and put together as the likeliest number."""
