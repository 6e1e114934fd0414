"""Measurements that anyone can rerun, from a checkout."""
