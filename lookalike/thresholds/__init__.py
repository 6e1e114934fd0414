"""From labels to a policy: tuning, guarantees, metrics, monitoring."""
