"""Files in and out: CSV, Parquet and JSON Lines, and what their rows mean."""
