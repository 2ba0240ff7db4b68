"""The command line `illust-diffusion`."""
