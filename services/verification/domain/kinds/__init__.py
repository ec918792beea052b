"""The kinds of criteria: one module per compiled kernel. `registry.py` lists them; a new kind is a module and a line there."""
