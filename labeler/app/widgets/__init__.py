"""What pages are made of: charts, galleries, components, job status, formatting."""
