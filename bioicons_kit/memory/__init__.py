"""Memory techniques: quantized storage and what computes with it. Knows no model family."""
