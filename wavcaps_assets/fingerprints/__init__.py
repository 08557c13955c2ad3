"""Finds the same recording again by its sound: spectral peaks, hashes of three peaks, an index, a comparison.

After A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003, with three peaks to a hash
instead of two: they are so rare that the index needs no comparison of all pairs of clips.
"""
