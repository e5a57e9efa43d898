"""The small encoder that teaches: load or fine-tune it, read each text once, judge its noise."""
