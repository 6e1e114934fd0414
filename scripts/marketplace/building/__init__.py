"""Products and their surroundings, built and photographed in Blender."""
