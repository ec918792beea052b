"""The list of plugins; what a folder of tests needs beyond them lies in that folder's own conftest."""

from hypothesis import settings

pytest_plugins = ["tests.plugins.stack"]

# The same examples at every run: a submission fails for what it changed. The long profile of tests/property searches anew.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
