"""What bad inputs are tried on: `files` that are read, `values` that are given."""
