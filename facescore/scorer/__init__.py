"""Learn one person's taste from face crops."""
