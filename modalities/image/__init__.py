"""Images: labeled pictures of equal size."""
