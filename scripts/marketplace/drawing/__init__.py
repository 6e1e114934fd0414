"""What is drawn: shapes, prints, materials, scenes, and the camera that takes them. All of it needs Skia."""
