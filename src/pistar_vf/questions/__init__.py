"""Questions about pictures: where they are, how they are read, tokenised and put into batches."""
