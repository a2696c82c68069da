"""The recognisers whose structure is adapted; each declares its own parameter groups."""
