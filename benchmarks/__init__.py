"""Every claim about speed, each runnable by itself and measured beside a peer: `python -m benchmarks`."""
