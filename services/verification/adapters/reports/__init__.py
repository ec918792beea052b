"""Reports: their rows, their evidence packs, their pages."""
