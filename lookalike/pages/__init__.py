"""How HTML pages are made: templates, escaping, pictures."""
