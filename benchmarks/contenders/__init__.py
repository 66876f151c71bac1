"""The same model and the same preprocessing behind other servers, each as its own documentation would have it."""
