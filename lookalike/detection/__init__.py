"""From a photo to its matches, and from matches to a finding."""
