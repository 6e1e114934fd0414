"""What made the embedded encoder and its policy."""
