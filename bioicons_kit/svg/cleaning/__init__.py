"""What a document can lose: style, structure, and where each shape is drawn."""
