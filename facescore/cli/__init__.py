"""The command line `facescore`."""
