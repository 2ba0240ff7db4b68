"""Run the command line: `python -m diffusion`."""

from diffusion.cli.main import main

if __name__ == "__main__":
    main()
