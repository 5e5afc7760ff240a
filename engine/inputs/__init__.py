"""From files to the arrays that a run begins with."""
