"""Two values compared: what is different, and how to say it."""
