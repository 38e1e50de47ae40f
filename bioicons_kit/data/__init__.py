"""Rows -> cache -> batches. Knows encoders by protocol, and no model."""
