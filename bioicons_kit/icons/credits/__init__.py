"""What licenses ask to be written down."""
