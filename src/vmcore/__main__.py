"""``python -m vmcore`` is the ``vmcore`` command."""

from vmcore.cli import entry

if __name__ == "__main__":
    entry()
