"""The thresholds file: scopes, fusion and cohort, and what it is bound to."""
