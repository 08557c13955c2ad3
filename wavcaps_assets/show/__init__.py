"""What people see: plots, previews, progress, and crawled text made safe to show."""
