"""Run the command line: `python -m oppai`."""

from oppai.cli.main import main

if __name__ == "__main__":
    main()
