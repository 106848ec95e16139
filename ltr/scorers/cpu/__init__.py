"""Scoring on CPUs: fused layers, 8-bit products, threads. Same scores, fewer operations."""
