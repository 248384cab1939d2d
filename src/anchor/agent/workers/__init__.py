"""Worker processes: kept warm, confined, one task at a time, and gone for good after any breach."""
