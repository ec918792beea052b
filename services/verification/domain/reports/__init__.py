"""Verification reports: the document, its signatures, and the evidence pack that lets a stranger recompute it (V-23, V-24, V-25)."""
