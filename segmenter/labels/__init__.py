"""Labels for synthetic images: whose they are, how sure, and which images are good enough."""
