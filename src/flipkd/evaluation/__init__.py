"""Evaluation: metrics, thresholds, the answer, the table, the predictions and the plots."""
