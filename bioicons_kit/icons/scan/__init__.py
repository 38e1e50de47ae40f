"""What lies in a library folder, and what is said of it: files, names, authors, sidecars."""
