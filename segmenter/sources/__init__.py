"""One module a kind of source; segmenter.source says what they have in common."""
