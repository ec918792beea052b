"""Pytest plugins: one file per thing that tests borrow."""
