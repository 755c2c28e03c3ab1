"""Files of images: read, written, unpacked."""
