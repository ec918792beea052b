"""The verification worker's processor: sessions of runs in memory, their effects and their recovery in PostgreSQL."""
