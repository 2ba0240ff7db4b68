"""Download the chapter's pictures from Pixiv."""
