"""The pages, a file each: what `st.navigation` runs."""
