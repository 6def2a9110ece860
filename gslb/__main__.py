"""`python -m gslb`."""

from gslb.cli.main import main

if __name__ == "__main__":
    main()
