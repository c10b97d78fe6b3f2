"""The server: launch, middleware in its order, start-up, limits, Streamlit's settings."""
