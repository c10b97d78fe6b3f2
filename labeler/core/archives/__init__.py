"""Archives of pictures (tar, zip, Parquet), read in their place, and opening any picture's file."""
