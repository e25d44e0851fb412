"""From what was written and what was seen to what is there: inventory lines read, equipment looked at, and how sure that is."""
