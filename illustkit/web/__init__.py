"""The loopback page server that the packages' pages use."""
