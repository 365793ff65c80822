"""Golden images: record them from a reference executable, and compare with them."""
