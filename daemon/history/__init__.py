"""The history: every frame as Parquet files, for training, back-tests and pictures of long ago."""
