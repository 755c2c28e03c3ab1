"""`python -m vesselforge` is `vesselforge`."""

from vesselforge.cli.main import main

if __name__ == "__main__":
    main(prog_name="vesselforge")
