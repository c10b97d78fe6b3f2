"""What the doctor and recovery ask of a store: consistency, values, pages."""
