"""The page that makes new icons."""
