"""Files of adapters. Knows no model beyond names and shapes."""
