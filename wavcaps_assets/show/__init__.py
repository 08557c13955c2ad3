"""What people see: plots, previews, progress, and crawled text that is safe to show."""
