"""`python -m heimdall.cli`."""

from heimdall.cli import main

if __name__ == "__main__":
    main()
