"""Algorithms that search with a told data set only: data in, designs out, no further evaluation needed."""
