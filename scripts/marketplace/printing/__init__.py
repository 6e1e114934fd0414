"""What is printed on products: labels, patterns, emblems and type, drawn with Skia."""
