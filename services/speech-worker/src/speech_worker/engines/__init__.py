"""Speech engines, one technology per file; `catalog` knows them by name."""
