"""Corpora, their recordings as features, their texts as labels, and batches of both."""
