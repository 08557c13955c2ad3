"""Backups of the store, the instance and the local state: one file each, and their restoration."""
