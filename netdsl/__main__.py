"""`python -m netdsl`: the command line."""

from netdsl.cli.main import entry

if __name__ == "__main__":
    entry()
