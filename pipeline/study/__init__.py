"""The study: arms of synthetic and real images, trained alike, compared in pairs."""
