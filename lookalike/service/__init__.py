"""The HTTP API: listings in, findings out, behind a gateway or alone; it needs the extra `serve`."""
