"""Only the list of plugins; what a folder of tests needs beyond them lies in that folder's own conftest."""

pytest_plugins = ["tests.plugins.stack"]
