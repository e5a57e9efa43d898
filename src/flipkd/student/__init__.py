"""The student: a decoder-only LLM with LoRA, read as an encoder and a decoder."""
