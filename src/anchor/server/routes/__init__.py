"""The REST routes, one file per thing they are about; each file ends in its lines of the table."""
