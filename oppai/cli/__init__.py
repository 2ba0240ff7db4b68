"""The command line `oppai`."""
