"""Sources besides icons: folders of images, and datasets of the Hugging Face hub."""
