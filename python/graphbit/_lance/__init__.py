"""What stands behind `graphbit.lancedb`."""
