"""Run the command line: `python -m facescore`."""

from facescore.cli.main import main

if __name__ == "__main__":
    main()
