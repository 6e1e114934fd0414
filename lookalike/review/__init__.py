"""The review app: a person looks at findings, and the verdicts are kept."""
