"""Reading of uploaded images into arrays, labels, a preview and a profile."""
