"""One file per surface. Handlers translate HTTP and delegate."""
