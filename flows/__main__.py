"""`python -m flows` is `vesselforge`."""

from flows.cli import main

if __name__ == "__main__":
    main(prog_name="vesselforge")
