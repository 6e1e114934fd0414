"""HTML pages: templates, escaping, pictures."""
