"""Genuine Kafka and TimescaleDB on this machine without Docker, and the supervisor that runs pilotline's processes."""
