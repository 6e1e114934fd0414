"""Many listings: parts, resuming, only what changed, rechecking, Ray."""
