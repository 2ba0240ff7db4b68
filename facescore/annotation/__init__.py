"""Label faces and rate crops."""
