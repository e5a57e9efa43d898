"""A FAQ index: the encoder and BM25 find entries, the decoder verifies them."""
