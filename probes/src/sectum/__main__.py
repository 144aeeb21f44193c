"""`python -m sectum` -> the command line."""

from sectum.cli import main

if __name__ == "__main__":
    main()
