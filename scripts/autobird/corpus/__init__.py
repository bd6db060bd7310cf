"""Where recordings come from, what is known about them, and which split they belong to."""
