"""What a reader moves by hand, in a notebook and in a page."""
