"""Training: the loop and what it needs, with or without Ray.

It knows no sweep, no cluster and no adaptation method by name.
"""
