"""Work on untrusted files in processes that can be killed: their parent's end, and theirs."""
