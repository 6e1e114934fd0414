"""What makes the embedded encoder and its default policy."""
