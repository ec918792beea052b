"""The criteria language as people write it (V-5)."""
