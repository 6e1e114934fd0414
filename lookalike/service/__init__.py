"""The HTTP API: one process that stays up, checks listings, and takes over what changes."""
