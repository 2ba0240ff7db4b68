"""Networks, the restorers built on them, and their weights."""
