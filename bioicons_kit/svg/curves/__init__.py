"""Fewer nodes within a proven distance: fitting, choosing, proving. No documents here."""
