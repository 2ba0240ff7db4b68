"""The parts of a drawn character, from the pencil up to the backdrop."""
