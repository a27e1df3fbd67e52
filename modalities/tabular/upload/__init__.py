"""Reading of uploaded tables into Parquet, a schema and a profile."""
