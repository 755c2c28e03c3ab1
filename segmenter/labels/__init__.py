"""Labels for synthetic images: by which teachers, how sure, and which images are good enough."""
