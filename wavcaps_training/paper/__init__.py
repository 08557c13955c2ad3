"""The paper: its experiments and its tables as data, and a comparison with what was measured."""
