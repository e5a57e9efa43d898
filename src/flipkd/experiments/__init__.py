"""The tables of results/: which methods are compared on which public data, and what came out."""
