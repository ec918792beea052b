"""The local servers and the supervisor."""
