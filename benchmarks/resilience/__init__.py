"""What happens to requests when the server is busy, swapped, stopped, killed or fed with rubbish."""
