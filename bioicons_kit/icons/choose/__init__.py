"""What buckets select: filters, the license policy, quotas, held-out rows; and tables of it."""
