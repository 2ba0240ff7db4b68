"""Networks that learn icons against a discriminator: DCGAN and StyleGAN2."""
