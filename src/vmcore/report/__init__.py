"""What people read of a run, made of its JSON: text tables, the one-file HTML report; and the progress bar."""
