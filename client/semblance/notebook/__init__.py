"""Models, datasets and jobs as objects that notebooks display: see `Service`."""
