"""`python -m service` is `livedigit`."""

from service.cli import main

main()
