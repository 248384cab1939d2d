"""`python -m anchor` is the command `anchor`."""

from anchor.cli import main

if __name__ == "__main__":
    main()
