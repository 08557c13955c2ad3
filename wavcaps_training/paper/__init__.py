"""The paper: its experiments and its tables as data, and what was measured next to them."""
